//! A member who writes whatever the formats let it, and entries that do not belong here.
//!
//! The oracle of all of these: equal sets of entries give equal states on all nodes, in whatever
//! order, batches and repetitions they came, and what others wrote is there and can be read.

use std::path::Path;
use std::time::{Duration, Instant};

use lanai_crdt::clock::Hlc;
use lanai_crdt::entry::{Class, Header, HeaderTail};
use lanai_crdt::envelope;
use lanai_crdt::id::{CommunityId, EntryId};
use lanai_crdt::limits::MAX_INFLATED_BYTES;
use lanai_crdt::payload::{
    self, Body, Edit, Kind, Mark, Note, Profile, React, Reaction, ThreadState, Ticket,
};
use lanai_crdt::seal::EpochKey;
use lanai_crdt::thread::PostText;
use lanai_node::store::{Incoming, SetSummary};
use minicbor::Encoder;

use crate::craft::{Crafted, Scribe, everything, incoming, pack, post};
use crate::from_peer;
use crate::support::{Person, found, now, text_of};

/// Entries of the flood.
const FLOOD: usize = 10_000;

fn fold(person: &Person) {
    while person.store.fold_pending(1_000).unwrap().left > 0 {}
}

fn state(person: &Person) -> (String, SetSummary) {
    let mut summary = person.store.set_summary().unwrap();
    summary.heads.sort_unstable();
    (person.state_hash().unwrap(), summary)
}

fn texts(person: &Person, thread: &EntryId) -> Vec<String> {
    let view = person.store.thread(thread).unwrap().unwrap();
    view.thread.posts.iter().map(|p| text_of(&p.text).to_owned()).collect()
}

/// Numbers from 0 to n - 1 in an order that the seed decides.
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let key =
        |i: &usize| (*i as u64 + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| key(i) >> 7);
    order
}

/// A founder, who began a thread, and two members, all of whom hold the same.
fn three(dir: &Path) -> (Person, Person, Person, EntryId) {
    let ana = found(dir, "Ana").unwrap();
    let [eve, ben] = ["Eve", "Ben"].map(|name| ana.admit(dir, name).unwrap());
    let thread = ana.note("The ford", "Who has crossed it?").unwrap();
    eve.take_all_from(&ana).unwrap();
    ben.take_all_from(&ana).unwrap();
    (ana, eve, ben, thread)
}

#[test]
fn another_communitys_entries_and_replays_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ana = found(&dir.path().join("one"), "Ana").unwrap();
    let eve = found(&dir.path().join("two"), "Eve").unwrap();
    ana.note("ours", "text").unwrap();
    eve.note("theirs", "text").unwrap();
    let before = state(&ana);
    let foreign = everything(&eve);
    let count = foreign.len();
    let report = ana.store.ingest(foreign, &from_peer(), now()).unwrap();
    assert_eq!((report.refused.len(), report.new.len()), (count, 0), "{report:?}");
    assert_eq!(report.refused_by_reason()["other-community"], count);
    for _ in 0..3 {
        let report = ana.store.ingest(everything(&ana), &from_peer(), now()).unwrap();
        assert!(report.new.is_empty() && report.refused.is_empty(), "{report:?}");
    }
    assert_eq!(state(&ana), before);
}

/// A zstd frame of blocks that repeat one byte: 4 bytes that stand for 128 KiB each.
fn bomb(claimed: u32, blocks: usize) -> Vec<u8> {
    const REPEATED: u32 = 128 * 1024;
    let mut frame = vec![0xa0];
    frame.extend(claimed.to_le_bytes());
    for n in 0..blocks {
        let last = u32::from(n + 1 == blocks);
        let header = REPEATED << 3 | 1 << 1 | last;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(b'a');
    }
    let mut plain = vec![1, 1];
    plain.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
    plain.extend(frame);
    plain.resize(envelope::padded_size(plain.len()).unwrap(), 0);
    plain
}

/// A field of a body.
enum Field {
    Text(String),
    List(usize, &'static str),
    Number(u64),
    Bytes(Vec<u8>),
    /// The origin of an imported post, with a message id that is too long.
    Origin,
    /// An array in an array, and so on.
    Nested(usize),
}

use self::Field::{Bytes, List, Nested, Number, Origin, Text};

/// A body of this kind with these fields, whatever the limits are.
fn body(kind: Kind, fields: &[(u8, Field)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = Encoder::new(&mut out);
    e.array(2).unwrap().u16(kind.number()).unwrap().map(fields.len() as u64).unwrap();
    for (key, field) in fields {
        e.u8(*key).unwrap();
        match field {
            Text(text) => e.str(text).unwrap(),
            List(items, item) => {
                e.array(*items as u64).unwrap();
                for _ in 0..*items {
                    e.str(item).unwrap();
                }
                &mut e
            }
            Number(n) => e.u64(*n).unwrap(),
            Bytes(bytes) => e.bytes(bytes).unwrap(),
            Origin => {
                e.map(3).unwrap().u8(0).unwrap().str("name").unwrap();
                e.u8(1).unwrap().str(&"m".repeat(257)).unwrap();
                e.u8(4).unwrap().i64(5).unwrap()
            }
            Nested(depth) => {
                for _ in 0..*depth {
                    e.array(1).unwrap();
                }
                e.u8(0).unwrap()
            }
        };
    }
    out
}

fn text(text: &str) -> Field {
    Text(text.to_owned())
}

/// Bodies that are well-formed and break a limit or a rule of their kind.
fn over_the_limits() -> Vec<(Class, Vec<u8>)> {
    let note = |title: &str, tags: Field| {
        (Class::Post, body(Kind::Note, &[(0, text(title)), (1, text("t")), (2, tags)]))
    };
    let reply = |fields: &[(u8, Field)]| (Class::Post, body(Kind::Post, fields));
    let light = |kind, fields: &[(u8, Field)]| (Class::Light, body(kind, fields));
    let mut trailing = payload::encode(&post("with something behind it")).unwrap();
    trailing.extend([0, 1, 2]);
    vec![
        note(&"t".repeat(301), List(0, "")),
        note("  \n", List(0, "")),
        note("t", List(9, "tag")),
        note("t", List(1, "")),
        note("t", List(1, "a tag that is longer than it may be")),
        note("t", List(60_000, "")),
        reply(&[(0, Number(9)), (1, text("t"))]),
        reply(&[(0, Number(0)), (1, text("t")), (2, Origin)]),
        reply(&[(1, text("t"))]),
        reply(&[(0, text("t")), (1, Number(0))]),
        light(Kind::Profile, &[(0, Text("n".repeat(65)))]),
        light(Kind::Profile, &[(0, text(" "))]),
        light(Kind::Profile, &[(0, text("n")), (4, Text("r".repeat(2001)))]),
        light(Kind::React, &[(0, Number(3)), (1, Number(1))]),
        light(Kind::Mark, &[(0, Number(4))]),
        (Class::Act, body(Kind::Community, &[(0, Text("c".repeat(65)))])),
        // Kinds in a class that is not theirs, and what is no body.
        (Class::Light, payload::encode(&post("in a class of light things")).unwrap()),
        (Class::Post, payload::encode(&Body::Withdraw).unwrap()),
        (Class::File, payload::encode(&post("in a class without kinds")).unwrap()),
        (Class::Post, trailing),
        (Class::Post, vec![0xff; 100]),
        (Class::Post, vec![]),
    ]
}

/// Bodies that look odd and keep to the rules.
fn odd() -> Vec<(Class, Vec<u8>)> {
    let nested = [(0, Number(0)), (1, text("nested")), (77, Nested(100_000))];
    vec![
        (Class::Post, body(Kind::Post, &nested)),
        (Class::Post, payload::encode(&Body::Unknown(60_000)).unwrap()),
    ]
}

/// Roster entries of a member who may write some of them and tries all.
fn roster_nonsense(eve: &mut Scribe<'_>, member: [u8; 32], ticket: EntryId) -> Vec<Crafted> {
    let key = |n: u8| Bytes(vec![n; 32]);
    let role = |to: Field, role| body(Kind::Role, &[(0, to), (1, Number(role))]);
    let admission = |fields: &[(u8, Field)]| body(Kind::Ticket, fields);
    let endless = Body::Ticket(Ticket {
        key: [0; 32].into(),
        role: payload::Role::Member,
        uses: 1,
        expires: Some(u64::MAX),
    });
    let bodies: Vec<(Vec<EntryId>, Vec<u8>)> = vec![
        (vec![], role(Bytes(member.to_vec()), 2)),
        (vec![], role(key(9), 1)),
        (vec![], role(Bytes(member.to_vec()), 3)),
        (vec![], admission(&[(0, key(1)), (1, Number(2)), (2, Number(1))])),
        (vec![], admission(&[(0, key(1)), (1, Number(0)), (2, Number(0))])),
        (vec![], admission(&[(0, key(1)), (1, Number(0)), (2, Number(1001))])),
        (vec![ticket], payload::encode(&Body::TicketClose).unwrap()),
        (vec![ticket], body(Kind::Admit, &[(0, Bytes(vec![5; 272]))])),
        (vec![ticket], body(Kind::Admit, &[(0, Bytes(vec![5; 271]))])),
        (vec![], body(Kind::Epoch, &[(0, key(7)), (1, List(0, "")), (2, Bytes(vec![]))])),
        (vec![], body(Kind::Epoch, &[(0, key(7)), (1, List(0, "")), (2, Bytes(vec![5; 400]))])),
        (vec![ticket], body(Kind::Seal, &[(0, key(7)), (1, List(0, ""))])),
        (vec![], payload::encode(&endless).unwrap()),
        (vec![], payload::encode(&Body::Unknown(31)).unwrap()),
        (vec![], vec![0xff; 40]),
    ];
    let mut crafted = Vec::new();
    for (refs, body) in bodies {
        let plain = envelope::encode_clear(&body).unwrap();
        crafted.push(eve.write(Class::Roster, &refs, &plain, |_| ()));
    }
    // Not an envelope, and heads that nobody knows.
    crafted.push(eve.write(Class::Roster, &[], b"", |_| ()));
    let role = envelope::encode_clear(&payload::encode(&Body::TicketClose).unwrap()).unwrap();
    crafted.push(eve.write(Class::Roster, &[ticket], &role, |h| {
        h.tail = HeaderTail::V1 { heads: vec![EntryId::new([3; 32])], refs: vec![ticket] };
    }));
    crafted
}

/// All that a member can do to others in a thread.
fn talk_nonsense(eve: &mut Scribe<'_>, thread: EntryId, posts: &[EntryId]) -> Vec<Crafted> {
    let mut crafted = Vec::new();
    let nobody = EntryId::new([0xee; 32]);
    let mut say = |class, refs: &[EntryId], body: &Body| {
        crafted.push(eve.write(class, refs, &pack(body), |_| ()));
    };
    let edit = |text: &str| Body::Edit(Edit { text: text.into() });
    let react = |on| Body::React(React { reaction: Reaction::Thanks, on });
    for target in posts.iter().copied().chain([thread, nobody]) {
        say(Class::Post, &[thread, target], &edit("Never!"));
        say(Class::Act, &[thread, target], &Body::Withdraw);
        say(Class::Act, &[nobody, target], &Body::Withdraw);
        say(Class::Light, &[thread, target], &react(true));
        say(Class::Light, &[thread, target, posts[0]], &react(false));
        say(Class::Light, &[thread, target], &Body::Mark(Mark::State(ThreadState::Closed)));
        say(Class::Light, &[thread, target], &Body::Mark(Mark::Answer(true)));
        say(Class::Post, &[nobody, target], &post("to a thread that is not here"));
        say(Class::Post, &[thread, target], &post("fine"));
        say(Class::Post, &[target], &edit("without a post"));
    }
    say(Class::Post, &[], &post("to nothing at all"));
    say(Class::Post, &[thread; 10], &post("to one thread ten times"));
    say(Class::Post, &posts.repeat(10)[..10], &post("to posts as if they were threads"));
    let name = |n: &str| Body::Profile(Profile { name: n.into(), ..Profile::default() });
    say(Class::Light, posts, &name("Ana"));
    say(Class::Light, &[thread, nobody], &name("ana\u{200b}"));
    say(Class::Light, &[], &name(&"\u{202e}".repeat(21)));
    let charter = payload::Community { name: "Mine".into(), charter: None, salt: [0; 16].into() };
    say(Class::Act, &[], &Body::Community(charter));
    say(Class::Post, &[thread], &post(&"w".repeat(MAX_INFLATED_BYTES - 100)));
    say(Class::Post, &[thread], &post(&"\u{1b}[2J\u{202e}\0".repeat(1000)));
    let note = Note { title: "\u{1b}c".into(), text: String::new(), tags: vec![], origin: None };
    say(Class::Post, &[], &Body::Note(note));
    crafted
}

/// What is wrong with headers and blobs that are authentic.
fn header_nonsense(eve: &mut Scribe<'_>, thread: EntryId) -> Vec<Crafted> {
    let mut crafted = Vec::new();
    // A fork: three texts for one place of the log, and a fourth that goes on from there.
    for text in ["left", "right", "middle"] {
        crafted.push(eve.beside(Class::Post, &[thread], &pack(&post(text)), |_| ()));
    }
    crafted.push(eve.write(Class::Post, &[thread], &pack(&post("on")), |_| ()));
    // Clocks at their ends: 0, 1970, 2099, the last.
    for time in [0, 1, 0xffff, Hlc::from_millis(4_070_908_800_000).0, u64::MAX - 1, u64::MAX] {
        let text = format!("at {time}");
        crafted
            .push(eve.write(Class::Post, &[thread], &pack(&post(&text)), |h| h.time = Hlc(time)));
    }
    // Bombs: the most that may be, more than was said, and more than may be.
    let most = u32::try_from(MAX_INFLATED_BYTES).unwrap();
    for (claimed, blocks) in [(most, 2), (most, 11_000), (most, 1), (most + 1, 3), (u32::MAX, 9)] {
        crafted.push(eve.write(Class::Post, &[thread], &bomb(claimed, blocks), |_| ()));
    }
    // Not an envelope.
    for plain in [vec![], vec![0xff; 32], vec![1, 0, 0xff, 0xff, 0xff, 0xff], vec![1; 49_000]] {
        crafted.push(eve.write(Class::Post, &[thread], &plain, |_| ()));
    }
    // Links that cannot be: another log's entry, one that is not here, a leap, the end of counting.
    let links: [fn(&mut Header, EntryId); 5] = [
        |h, thread| h.prev = thread,
        |h, _| h.prev = EntryId::new([0xaa; 32]),
        |h, _| h.seq += 5,
        |h, _| h.seq = u64::MAX,
        |h, thread| (h.seq, h.prev) = (0, thread),
    ];
    for change in links {
        let plain = pack(&post("linked to nothing"));
        crafted.push(eve.beside(Class::Post, &[thread], &plain, |h| change(h, thread)));
    }
    // Roster heads that nobody knows; a class that is not used; a later version of the format.
    let heads: Vec<EntryId> = (1..5).map(|n| EntryId::new([n; 32])).collect();
    crafted.push(eve.beside(Class::Post, &[thread], &pack(&post("heads")), |h| {
        h.tail = HeaderTail::V1 { heads, refs: vec![thread] };
    }));
    crafted.push(eve.beside(Class::File, &[thread], &pack(&post("file")), |_| ()));
    crafted.push(eve.beside(Class::Post, &[], &pack(&post("later")), |h| {
        h.class = 200;
        h.tail = HeaderTail::Later { version: 7, bytes: vec![1; 300] };
    }));
    // Sealed under a key that nobody has.
    let key = std::mem::replace(&mut eve.key, EpochKey::from_bytes(&[3; 32]));
    crafted.push(eve.write(Class::Post, &[thread], &pack(&post("sealed elsewhere")), |_| ()));
    eve.key = key;
    // A name of this epoch over another blob than the key opens.
    let (verified, mut blob) = eve.write(Class::Post, &[thread], &pack(&post("torn")), |_| ());
    blob.truncate(30);
    crafted.push((verified, blob));
    // Of another community.
    crafted.push(eve.beside(Class::Post, &[thread], &pack(&post("foreign")), |h| {
        h.community = CommunityId::new([5; 32]);
    }));
    crafted
}

#[test]
fn a_hostile_member_harms_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (ana, eve, ben, thread) = three(dir.path());
    let posts =
        [ben.reply(thread, "I have, on foot.").unwrap(), eve.reply(thread, "Me too.").unwrap()];
    ana.take_all_from(&eve).unwrap();
    ana.take_all_from(&ben).unwrap();
    let member = eve.store.own_member().unwrap().unwrap();
    let ticket = ana.store.roster().unwrap().tickets().next().unwrap().entry;

    let mut scribe = Scribe::new(&eve, 1);
    let mut crafted = header_nonsense(&mut scribe, thread);
    crafted.extend(talk_nonsense(&mut scribe, thread, &posts));
    let void = over_the_limits();
    for (class, body) in void.iter().cloned().chain(odd()) {
        let plain = envelope::encode(&body).unwrap();
        crafted.push(scribe.write(class, &[thread], &plain, |_| ()));
    }
    let mut scribe = Scribe::new(&eve, 2);
    crafted.extend(roster_nonsense(&mut scribe, *member.as_bytes(), ticket));

    // Four stores of new members that hold the same before it begins.
    let stores: Vec<Person> =
        (0..4).map(|n| ana.admit(dir.path(), &format!("New {n}")).unwrap()).collect();
    for store in &stores {
        ana.take_all_from(store).unwrap();
    }
    for store in &stores {
        store.take_all_from(&ana).unwrap();
        assert_eq!(state(store), state(&ana));
    }
    let deliver = |to: &Person, order: &[usize], batch: usize| {
        for part in order.chunks(batch) {
            let batch: Vec<Incoming> = part.iter().map(|i| incoming(&crafted[*i])).collect();
            to.store.ingest(batch, &from_peer(), now()).unwrap();
            if part[0].is_multiple_of(3) {
                to.store.fold_pending(5).unwrap();
            }
        }
        fold(to);
    };
    let n = crafted.len();
    deliver(&stores[0], &(0..n).collect::<Vec<_>>(), 1);
    deliver(&stores[1], &(0..n).rev().collect::<Vec<_>>(), 1);
    deliver(&stores[2], &(0..n).collect::<Vec<_>>(), n);
    deliver(&stores[3], &[shuffled(n, 5), shuffled(n, 77)].concat(), 7);
    let one = state(&stores[0]);
    for store in &stores {
        assert_eq!(state(store), one);
        assert!(store.store.check(|_| ()).unwrap().is_clean());
        let roster = store.store.roster().unwrap();
        let role = roster.member(&member).unwrap().role;
        assert_eq!(role, payload::Role::Member, "nobody makes themselves a steward");
    }

    let view = stores[0].store.thread(&thread).unwrap().unwrap();
    let shown = texts(&stores[0], &thread);
    assert_eq!(shown[0], "Who has crossed it?");
    for text in ["I have, on foot.", "left", "right", "middle", "on", "at 0", "fine", "nested"] {
        assert!(shown.iter().any(|t| t == text), "{text} in {shown:?}");
    }
    for text in ["foreign", "sealed elsewhere", "Never!", "torn"] {
        assert!(!shown.iter().any(|t| t == text), "{text}");
    }
    assert!(view.thread.title == "The ford" && view.thread.state == ThreadState::Open);
    let of_ben = view.thread.posts.iter().find(|p| p.id == posts[0]).unwrap();
    assert_eq!(of_ben.text, PostText::Current("I have, on foot.".into()));
    assert!(of_ben.edits.is_empty() && !of_ben.part_of_answer);
    let aside = stores[0].store.stats().unwrap();
    eprintln!("{n} entries: {aside:?}");
    assert!(aside.void >= void.len() as u64, "{aside:?}");
    let info = stores[0].store.community_info().unwrap();
    assert_eq!(info.view.map(|v| v.name).as_deref(), Some("The Porch"));

    // Honest clocks are not dragged along, and life goes on.
    for store in &stores {
        let after = store.reply(thread, "still here").unwrap();
        let header = store.store.entries(&[after]).unwrap()[0].verified.header().clone();
        assert!(header.time.millis() <= now() + 11 * 60 * 1000, "{:?}", header.time);
        ana.take_all_from(store).unwrap();
    }
    for store in &stores {
        store.take_all_from(&ana).unwrap();
        assert_eq!(state(store), state(&ana));
    }
}

#[test]
fn a_flood_by_one_member_leaves_the_others_readable() {
    let dir = tempfile::tempdir().unwrap();
    let (ana, eve, ben, thread) = three(dir.path());
    let reply = ben.reply(thread, "I have, on foot.").unwrap();

    let mut scribe = Scribe::new(&eve, 1);
    let mut flood: Vec<Crafted> = Vec::with_capacity(FLOOD);
    let mut last = thread;
    for n in 0..FLOOD {
        let (class, refs, body) = match n % 20 {
            0 => (
                Class::Post,
                vec![],
                Body::Note(Note {
                    title: format!("Look here {n}"),
                    text: "and here".into(),
                    tags: vec![format!("tag{n}")],
                    origin: None,
                }),
            ),
            1 => (
                Class::Light,
                vec![],
                Body::Profile(Profile { name: format!("Eve {n}"), ..Profile::default() }),
            ),
            2 => (
                Class::Light,
                vec![thread, thread],
                Body::React(React { reaction: Reaction::Thanks, on: true }),
            ),
            3 => (Class::Post, vec![thread, last], Body::Edit(Edit { text: format!("edit {n}") })),
            4 => {
                (Class::Light, vec![thread, thread], Body::Mark(Mark::State(ThreadState::Working)))
            }
            _ => (Class::Post, vec![thread, last], post(&format!("me, me, me {n}"))),
        };
        flood.push(scribe.write(class, &refs, &pack(&body), |_| ()));
        if n % 20 == 5 {
            last = flood[n].0.id();
        }
    }
    let start = Instant::now();
    for (at, part) in flood.chunks(1000).enumerate() {
        ana.store.ingest(part.iter().map(incoming).collect(), &from_peer(), now()).unwrap();
        if at == 4 {
            ana.take_all_from(&ben).unwrap();
        }
        ana.store.fold_pending(500).unwrap();
    }
    fold(&ana);
    let took = start.elapsed();
    for part in flood.rchunks(2500) {
        ben.store.ingest(part.iter().map(incoming).collect(), &from_peer(), now()).unwrap();
    }
    fold(&ben);
    ben.take_all_from(&ana).unwrap();
    assert_eq!(state(&ana), state(&ben));
    // Slow machines run tests too; minutes would mean that something is squared.
    assert!(took < Duration::from_secs(60), "{took:?}");

    let start = Instant::now();
    let shown = texts(&ana, &thread);
    assert!(shown.len() > FLOOD / 2 && shown.iter().any(|t| t == "I have, on foot."));
    let after = ana.reply(thread, "Enough, Eve.").unwrap();
    ben.take_all_from(&ana).unwrap();
    assert!(
        ben.store.entry(&after).unwrap().is_some() && ben.store.entry(&reply).unwrap().is_some()
    );
    assert_eq!(state(&ana), state(&ben));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    eprintln!("{FLOOD} entries taken and folded in {:.1} s", took.as_secs_f64());
}
