//! The join protocol: a recorded join, altered, to either side.

use std::sync::Arc;

use lanai_node::join::{
    Admitter, AdmitterInput, AdmitterOutput, Joiner, JoinerInput, JoinerOutput, Refusal, RosterItem,
};
use lanai_node::sync::StoredEntry;

use super::village::{NOW, Village, person};
use super::{Decoder, Shape, mutate};

fn items(village: &Village) -> Vec<RosterItem> {
    let item =
        |e: &StoredEntry| RosterItem { verified: e.entry.clone(), payload: e.payload.clone() };
    village.entries.iter().map(item).collect()
}

pub(super) fn all() -> Vec<Decoder> {
    let (ana, ben, cleo) = (person(1), person(2), person(3));
    let mut village = Village::found(&ana);
    let first = village.ticket(&ana, 51, 2);
    let record = lanai_node::join::join_record(&first, &cleo, [9; 16]);
    village.admit(&ana, &cleo, &record);
    let ticket = village.ticket(&cleo, 50, 1);
    let before = Arc::new(village.roster());
    let (own, device) = (ana.device_id(), ben.device_id());

    // A join as it goes: what each side sent.
    let start = {
        let (ticket, ben) = (ticket.clone(), ben.clone());
        move || Joiner::start(ticket.clone(), ben.clone(), [4; 16], own, [2; 32], NOW)
    };
    let mut admitter = Admitter::new(own, device, Arc::clone(&before), [3; 32], NOW);
    let (mut joiner, mut wanted) = start();
    let (mut from_joiner, mut from_admitter) = (Vec::new(), Vec::new());
    let mut joined = false;
    while !joined {
        let mut todo = Vec::new();
        for output in wanted.drain(..) {
            match output {
                JoinerOutput::Send(bytes) => {
                    todo.extend(admitter.handle(AdmitterInput::Bytes(&bytes), NOW));
                    from_joiner.extend(bytes);
                }
                JoinerOutput::Progress(_) => {}
                JoinerOutput::Finished(how) => {
                    how.expect("the recorded join succeeds");
                    joined = true;
                }
            }
        }
        while !todo.is_empty() {
            for output in std::mem::take(&mut todo) {
                let input = match output {
                    AdmitterOutput::Send(bytes) => {
                        wanted.extend(joiner.handle(JoinerInput::Bytes(&bytes), NOW));
                        from_admitter.extend(bytes);
                        continue;
                    }
                    AdmitterOutput::Admit { record, .. } => {
                        let admit = village.admit(&ana, &ben, &record);
                        let sent = items(&village);
                        let bytes =
                            sent.iter().map(RosterItem::encoded_bytes).sum::<usize>() as u32;
                        AdmitterInput::Admitted { admit, entries: sent.len() as u32, bytes }
                    }
                    AdmitterOutput::WantEntries { from } => {
                        AdmitterInput::Entries(items(&village)[from as usize..].to_vec())
                    }
                    AdmitterOutput::Enrol(_) => AdmitterInput::Refused(Refusal::Unknown),
                    AdmitterOutput::Finished(how) => {
                        how.expect("the recorded join succeeds");
                        continue;
                    }
                };
                todo.extend(admitter.handle(input, NOW));
            }
        }
    }
    let after = village.roster().hash();
    let (member, community) = (record_member(&ticket, &ben), village.community);

    vec![
        Decoder::new("join, to the member", 2, Shape::Frames, vec![from_joiner], move |bytes| {
            let mut machine = Admitter::new(own, device, Arc::clone(&before), [3; 32], NOW);
            let mut admits = false;
            for frame in mutate::split(bytes) {
                for output in machine.handle(AdmitterInput::Bytes(frame), NOW) {
                    if let AdmitterOutput::Admit { record, known } = output {
                        assert_eq!((record.record.member(), known), (member, None));
                        admits = true;
                    }
                }
            }
            admits
        }),
        Decoder::new(
            "join, to the newcomer",
            1,
            Shape::Frames,
            vec![from_admitter],
            move |bytes| {
                let (mut machine, _) = start();
                let mut joins = false;
                for frame in mutate::split(bytes) {
                    for output in machine.handle(JoinerInput::Bytes(frame), NOW) {
                        if let JoinerOutput::Finished(Ok(joined)) = output {
                            assert_eq!((joined.community, joined.member), (community, member));
                            assert_eq!(joined.roster.hash(), after, "no other roster is believed");
                            joins = true;
                        }
                    }
                }
                machine.handle(JoinerInput::Closed, NOW);
                assert!(machine.is_finished());
                joins
            },
        ),
    ]
}

fn record_member(
    ticket: &lanai_crdt::ticket::TicketText,
    newcomer: &lanai_node::identity::Identity,
) -> lanai_crdt::id::MemberId {
    lanai_node::join::join_record(ticket, newcomer, [4; 16]).record.member()
}
