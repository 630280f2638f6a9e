//! Every bit of real entries, flipped one at a time.
//!
//! Each altered entry is delivered twice: alone, straight to the store; and in a frame of the sync
//! protocol, beside a good neighbour, as a peer would send it who sends what it likes. None is
//! accepted, and every neighbour is. The ordinary run takes every 149th bit, from another one on for
//! each entry; `LANAI_TEST_ALL=1` takes all.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use lanai_crdt::entry::{Class, HeaderError, Signature, Signed, Verified};
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{
    Ask, Body, Community, Edit, GrantRole, Mark, Note, Profile, React, Reaction, Role, ThreadState,
};
use lanai_node::store::{Incoming, IngestReport, NewEntry, StoredEntry};
use lanai_node::sync::{PayReader, PayWriter, PutError, SegWriter, Segment};

use crate::craft::{everything, post, stored};
use crate::from_peer;
use crate::support::{Person, found, now};

/// Entries whose bits are flipped.
const ENTRIES: usize = 200;
/// Bits after which the neighbour in the frame is a new one.
const BITS_A_NEIGHBOUR: u64 = 64;

/// A community in which every kind of entry was written by several people, in what order they came.
fn busy(dir: &Path) -> (Person, Vec<StoredEntry>) {
    let ana = found(dir, "Ana").unwrap();
    let people = ["Ben", "Cleo", "Dora"].map(|name| ana.admit(dir, name).unwrap());
    let members: Vec<_> = ana.store.roster().unwrap().members().map(|m| m.id).collect();
    let charter = Community {
        name: "The Porch".into(),
        charter: Some("Be kind.".into()),
        salt: [1; 16].into(),
    };
    ana.write(vec![NewEntry::new(Body::Community(charter), [])]).unwrap();
    let lead =
        GrantRole { member: (*members[1].as_bytes()).into(), role: Role::Lead, recovery: None };
    ana.write(vec![NewEntry::new(Body::Role(lead), [])]).unwrap();
    let mut round = 0;
    while ana.store.stats().unwrap().entries < ENTRIES as u64 {
        round += 1;
        let ask = Ask {
            title: format!("Round {round}"),
            situation: "What would you do?".into(),
            decide: Some("whether to cross".into()),
            need_by: Some(now()),
            tried: None,
            helps: None,
            tags: vec!["ford".into()],
            origin: None,
        };
        let thread = ana.write(vec![NewEntry::new(Body::Ask(ask), [])]).unwrap()[0];
        for person in &people {
            person.take_all_from(&ana).unwrap();
            let text = format!("an answer, and some words about round {round}");
            let reply = person.write(vec![NewEntry::new(post(&text), [thread])]).unwrap()[0];
            let react = React { reaction: Reaction::Helped, on: true };
            let note = Note { title: "n".into(), text: "t".into(), tags: vec![], origin: None };
            let profile = Profile { name: "N".into(), ..Profile::default() };
            person
                .write(vec![
                    NewEntry::new(Body::Edit(Edit { text: "mended".into() }), [thread, reply]),
                    NewEntry::new(Body::React(react), [thread, thread]),
                    NewEntry::new(Body::Mark(Mark::State(ThreadState::Working)), [thread, thread]),
                    NewEntry::new(Body::Profile(profile), []),
                    NewEntry::new(Body::Note(note), []),
                    NewEntry::new(Body::Withdraw, [thread, reply]),
                ])
                .unwrap();
            ana.take_all_from(person).unwrap();
        }
    }
    let ids: Vec<EntryId> = ana.store.items().unwrap().items.iter().map(|i| i.id).collect();
    let mut entries = ana.store.entries(&ids).unwrap();
    entries.truncate(ENTRIES);
    (ana, entries)
}

/// Where a bit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Signature,
    Payload,
}

/// An entry with one bit that its author did not write.
struct Altered {
    part: Part,
    header: Vec<u8>,
    signature: Signature,
    payload: Vec<u8>,
}

impl Altered {
    fn new(entry: &StoredEntry, mut bit: usize) -> Altered {
        let mut altered = Altered {
            part: Part::Header,
            header: entry.verified.bytes().to_vec(),
            signature: *entry.verified.signature().unwrap(),
            payload: entry.payload.clone().unwrap(),
        };
        let parts: [(Part, &mut [u8]); 3] = [
            (Part::Header, &mut altered.header),
            (Part::Signature, &mut altered.signature.0),
            (Part::Payload, &mut altered.payload),
        ];
        for (part, bytes) in parts {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
                altered.part = part;
                break;
            }
            bit -= bytes.len() * 8;
        }
        altered
    }

    fn bits(entry: &StoredEntry) -> usize {
        (entry.verified.bytes().len() + 64 + entry.payload.as_ref().unwrap().len()) * 8
    }

    fn signed(&self) -> Result<Signed, HeaderError> {
        Signed::decode(self.header.clone(), Some(self.signature))
    }
}

/// Packs entries as a peer does, and reads them again as this side does. `None` where a frame cannot
/// say such a header. The hash of a payload that comes along is not sent, but made by who receives it.
fn framed(person: &Person, entries: &[(&Verified, Option<&[u8]>)]) -> Option<Vec<Incoming>> {
    let mut seg = SegWriter::new(person.store.community());
    let mut pay = PayWriter::default();
    for (number, (entry, payload)) in entries.iter().enumerate() {
        match seg.put(entry, true, payload.is_some()) {
            Ok(()) => {}
            Err(PutError::Foreign) => return None,
            Err(PutError::Full) => panic!("two entries fit a frame"),
        }
        if let Some(payload) = payload {
            // A payload of another length than announced would end the session at this frame.
            let mut payload = payload.to_vec();
            payload.resize(entry.header().payload_len as usize, 0);
            assert!(pay.put(number as u64, &payload));
        }
    }
    let segment = Segment::decode(&seg.into_body()).unwrap();
    let body = pay.into_body();
    let mut reader = PayReader::new(&body);
    let mut payloads = vec![None; entries.len()];
    while let Some(number) = reader.number().unwrap() {
        let length = segment.payload_len(number as usize).unwrap();
        payloads[number as usize] = Some(reader.payload(length).unwrap().to_vec());
    }
    let hash = |n: usize| lanai_crdt::entry::payload_hash(payloads[n].as_ref().unwrap());
    let built = segment.build(person.store.community(), hash);
    let taken = built.into_iter().zip(payloads.clone());
    Some(taken.filter_map(|(b, payload)| Some(Incoming { signed: b.ok()?, payload })).collect())
}

struct Receiver {
    person: Person,
    held: BTreeSet<EntryId>,
    /// Held, or vouched for by what is held: the chain rule needs no signature of its own.
    believed: BTreeSet<EntryId>,
}

impl Receiver {
    fn new(ana: &Person, dir: &Path, name: &str) -> Receiver {
        let person = ana.admit(dir, name).unwrap();
        let all = everything(&person);
        let held: BTreeSet<EntryId> = all.iter().map(|i| i.signed.id()).collect();
        let mut believed = held.clone();
        believed.extend(all.iter().map(|i| i.signed.header().prev));
        Receiver { person, held, believed }
    }

    fn ingest(&self, batch: Vec<Incoming>) -> IngestReport {
        self.person.store.ingest(batch, &from_peer(), now()).unwrap()
    }

    fn entries(&self) -> u64 {
        self.person.store.set_summary().unwrap().entries
    }

    /// Whether others vouch for its header, so that it may get in whatever its signature is.
    fn vouched(&self, real: &StoredEntry, altered: &Altered) -> bool {
        let id = real.verified.id();
        altered.part == Part::Signature && self.believed.contains(&id) && !self.held.contains(&id)
    }

    /// Delivers it alone.
    fn alone(&self, real: &StoredEntry, altered: &Altered, at: &str) {
        let id = real.verified.id();
        let Ok(signed) = altered.signed() else { return };
        let report = self.ingest(vec![Incoming { signed, payload: Some(altered.payload.clone()) }]);
        let held = self.held.contains(&id);
        match altered.part {
            Part::Payload => {
                // The header is good and stays; a roster entry comes with its payload or not at all.
                let roster = real.verified.header().class == Class::Roster.number();
                assert!(!roster || report.new.is_empty(), "{at}: {report:?}");
                assert!(report.payloads.is_empty(), "{at}: {report:?}");
                let payload = self.person.store.payload(&id).unwrap();
                assert!(payload.is_some() == held && (!held || payload == real.payload), "{at}");
            }
            Part::Signature if held => {
                assert_eq!((report.known, report.new.len()), (1, 0), "{at}: {report:?}");
                let kept =
                    self.person.store.entries(&[id]).unwrap()[0].verified.signature().copied();
                assert_ne!(kept, Some(altered.signature), "{at}");
            }
            _ => {
                assert!(report.new.is_empty() && report.waiting == 0, "{at}: {report:?}");
                assert_eq!(report.refused.len(), 1, "{at}: {report:?}");
            }
        }
    }

    /// Delivers it in a frame beside a good neighbour. False where a frame cannot say it.
    fn beside(&self, real: &StoredEntry, altered: &Altered, good: &StoredEntry, at: &str) -> bool {
        // A peer stores and sends what it likes.
        let bytes = altered.header.clone();
        let Ok(entry) = Verified::from_trusted_storage(bytes, Some(altered.signature)) else {
            return false;
        };
        let hash_is_real = entry.header().payload_hash == real.verified.header().payload_hash;
        let payload = hash_is_real.then_some(&altered.payload[..]);
        let neighbour = (&good.verified, good.payload.as_deref());
        let Some(batch) = framed(&self.person, &[(&entry, payload), neighbour]) else {
            return false;
        };
        let [_, taken] = &batch[..] else { panic!("{at}: both are headers") };
        let verified = taken.signed.clone().verify().unwrap();
        assert!(verified.matches_payload(taken.payload.as_ref().unwrap()), "{at}");
        let report = self.ingest(batch);
        let id = good.verified.id();
        assert!(report.new.iter().all(|n| *n == id), "{at}: {report:?}");
        let known = altered.part == Part::Signature && self.held.contains(&real.verified.id());
        assert_eq!(report.new.len() + report.known, 1 + usize::from(known), "{at}: {report:?}");
        assert_eq!(report.refused.len(), usize::from(!known), "{at}: {report:?}");
        true
    }
}

#[test]
fn no_flipped_bit_is_accepted_and_good_neighbours_are() {
    let step = if std::env::var_os("LANAI_TEST_ALL").is_some() { 1 } else { 149 };
    let start = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let (ana, entries) = busy(dir.path());
    assert_eq!(entries.len(), ENTRIES);
    let kinds: BTreeSet<u8> = entries.iter().map(|e| e.verified.header().class).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [0, 1, 2, 4]);
    let alone = Receiver::new(&ana, dir.path(), "Alone");
    let beside = Receiver::new(&ana, dir.path(), "Beside");
    let before = (alone.entries(), beside.entries());
    let fresh = entries.iter().filter(|e| !alone.believed.contains(&e.verified.id())).count();
    assert!(fresh > 100, "{fresh}");

    let (mut bits, mut vouched, mut no_header) = (0u64, 0u64, 0u64);
    let (mut in_frames, mut neighbours) = (0u64, 0u64);
    // No frame can say a header of another community, so some neighbours never go out.
    let (mut good, mut arrived) = (None, false);
    for (i, real) in entries.iter().enumerate() {
        for bit in (i % step..Altered::bits(real)).step_by(step) {
            let altered = Altered::new(real, bit);
            let at = format!("bit {bit} ({:?}) of entry {i}", altered.part);
            if alone.vouched(real, &altered) || beside.vouched(real, &altered) {
                vouched += 1;
                continue;
            }
            no_header += u64::from(altered.signed().is_err());
            if altered.part != Part::Payload {
                alone.alone(real, &altered, &at);
            }
            if bits.is_multiple_of(BITS_A_NEIGHBOUR) || good.is_none() {
                let id = ana.note("good", "neighbour").unwrap();
                good = ana.store.entries(&[id]).unwrap().pop();
                arrived = false;
            }
            if beside.beside(real, &altered, good.as_ref().unwrap(), &at) {
                in_frames += 1;
                neighbours += u64::from(!arrived);
                arrived = true;
            }
            bits += 1;
        }
    }
    assert_eq!(alone.entries(), before.0, "nothing got in");
    assert_eq!(beside.entries(), before.1 + neighbours, "the neighbours and nothing else got in");

    // Payloads last, and where nothing is held by now: their headers are good and stay.
    for (i, real) in entries.iter().enumerate() {
        for bit in (i % step..Altered::bits(real)).step_by(step) {
            let altered = Altered::new(real, bit);
            if altered.part == Part::Payload {
                alone.alone(real, &altered, &format!("bit {bit} (payload) of entry {i}"));
            }
        }
    }
    for receiver in [&alone, &beside] {
        assert!(receiver.person.store.check(|_| ()).unwrap().damage.is_empty());
        // And the real entries are welcome after all that.
        let report = receiver.ingest(entries.iter().map(stored).collect());
        assert!(report.refused.is_empty(), "{report:?}");
        let ids: Vec<EntryId> = entries.iter().map(|e| e.verified.id()).collect();
        let held = receiver.person.store.entries(&ids).unwrap();
        assert!(held.len() == ENTRIES && held.iter().all(|e| e.payload.is_some()));
    }
    eprintln!(
        "{bits} flipped bits of {ENTRIES} entries: {no_header} made no header; the others were \
         delivered alone, and {in_frames} beside {neighbours} neighbours; {vouched} bits of \
         signatures that nobody needs were left out; {:.1} s",
        start.elapsed().as_secs_f64()
    );
}
