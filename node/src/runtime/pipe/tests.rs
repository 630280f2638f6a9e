//! Real stores and real sessions over the line protocol, on a line of 1,200 bit/s with 2 s delay that
//! loses one frame in twenty, in made-up time and by a seed.
//!
//! What is not the real thing here is Noise: its records are as long as they would be.

use std::collections::HashSet;

use lanai_crdt::id::{DeviceId, EntryId};

use super::super::session::{Answer, Start, ask, local_state, take};
use super::RECORD_BYTES;
use crate::line::shaper::{Dice, Loss, Shaper};
use crate::line::{Input as LineInput, Line, Output as LineOutput};
use crate::profile::Profile;
use crate::store::tests::Node;
use crate::sync::{Input, LocalState, Nonce, Output, Role, Session, Summary};

const BITS_PER_S: u64 = 1200;
const DELAY_MS: u64 = 2000;
const LOSS: Loss = Loss::Frames(50);
const POSTS: usize = 20;
/// Camps that are played; the worst of the first thirty is among them.
const SEEDS: u64 = 17;

/// One end: a store, a session, a line.
struct End<'a> {
    node: &'a Node,
    start: Start,
    session: Session,
    line: Line,
    met: bool,
    /// Sealed and not yet taken by the line, with what the session is told when it is.
    waiting: Vec<u8>,
    untold: usize,
    /// Of a record that is not whole.
    record: Vec<u8>,
    wire: Shaper,
    committed: Vec<Vec<EntryId>>,
    done: Option<bool>,
}

impl<'a> End<'a> {
    fn new(node: &'a Node, role: Role, dice: &mut Dice, now: u64) -> End<'a> {
        let peer = DeviceId::new([7; 32]);
        let (start, state): (Start, LocalState) = local_state(&node.store, &peer).unwrap();
        let config = Profile::Thin.session(node.store.community());
        End {
            node,
            start,
            session: Session::new(role, config, state, Nonce(dice.bytes()), now),
            line: Line::new(dice.bytes(), now),
            met: false,
            waiting: Vec::new(),
            untold: 0,
            record: Vec::new(),
            wire: Shaper::new(dice.0, BITS_PER_S, DELAY_MS, LOSS),
            committed: Vec::new(),
            done: None,
        }
    }

    fn line(&mut self, input: LineInput<'_>, now: u64) {
        for output in self.line.handle(input, now) {
            match output {
                LineOutput::Wire(frame) => {
                    self.wire.put(frame, now);
                    self.line(LineInput::Written, now);
                }
                LineOutput::Met { .. } => self.met = true,
                LineOutput::Stream(bytes) => {
                    self.line(LineInput::Taken(bytes.len()), now);
                    self.record.extend(bytes);
                }
                LineOutput::End => self.session(Input::Eof, now),
                LineOutput::Over(result) => {
                    assert!(self.done.is_some(), "the line ended: {result:?}");
                }
            }
        }
        while let Some((len, rest)) = self.record.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            let Some(record) = rest.get(..len) else { break };
            let plain = record[..len - 16].to_vec();
            self.record.drain(..2 + len);
            self.session(Input::Bytes(&plain), now);
        }
        self.give(now);
    }

    fn turn(&mut self, other: &mut Shaper, now: u64) {
        while let Some(frame) = other.get(now) {
            self.line(LineInput::Wire(&frame), now);
        }
        self.line(LineInput::Tick, now);
        if self.met {
            self.session(Input::Tick, now);
        }
    }

    fn give(&mut self, now: u64) {
        let n = self.line.room().min(self.waiting.len());
        if n == 0 {
            return;
        }
        let piece: Vec<u8> = self.waiting.drain(..n).collect();
        self.line(LineInput::Stream(&piece), now);
        if self.waiting.is_empty() {
            let n = std::mem::take(&mut self.untold);
            self.session(Input::Sent(n), now);
        }
    }

    fn session(&mut self, input: Input<'_>, now: u64) {
        let outputs = self.session.handle(input, now);
        let mut inputs = Vec::new();
        for output in outputs {
            match output {
                Output::Send(bytes) => {
                    self.untold += bytes.len();
                    for plain in bytes.chunks(RECORD_BYTES) {
                        self.waiting.extend(((plain.len() + 16) as u16).to_be_bytes());
                        self.waiting.extend(plain);
                        self.waiting.extend([0xa5; 16]);
                    }
                }
                Output::Query(query) => {
                    inputs.push(match ask(&self.node.store, self.start, query).unwrap() {
                        Answer::Set(tree) => Input::Set(tree),
                        Answer::Places(items) => Input::Places(items),
                        Answer::News(items) => Input::News(items),
                        Answer::WantedPayloads(ids) => Input::WantedPayloads(ids),
                        Answer::Loaded { entries, taken } => Input::Loaded { entries, taken },
                    })
                }
                Output::Ingest(batch) => {
                    self.committed.push(batch.iter().map(|i| i.signed.id()).collect());
                    let (store, author) = (&self.node.store, &self.node.author);
                    let taken = take(store, author, author.device.device(), batch).unwrap();
                    assert_eq!(taken.report.known, 0, "came and was here already");
                    assert!(taken.report.refused.is_empty(), "{:?}", taken.report);
                    inputs.push(Input::Ingested(taken.report));
                }
                Output::Done(_) => self.done = Some(true),
                Output::Failed(_) => self.done = Some(false),
            }
        }
        self.give(now);
        for input in inputs {
            self.session(input, now);
        }
    }
}

struct Run {
    /// Milliseconds from the open session until all was committed.
    took: Option<u64>,
    summaries: [Summary; 2],
    sent: Vec<EntryId>,
    committed: Vec<Vec<EntryId>>,
    bytes: u64,
    again: u64,
}

/// One run from `from` to `to`, which is cut so long after the session is open.
fn run(from: &Node, to: &Node, seed: u64, cut: Option<u64>) -> Run {
    let mut dice = Dice(seed);
    let (giver, taker) = match dice.roll(2) {
        0 => (Role::Initiator, Role::Responder),
        _ => (Role::Responder, Role::Initiator),
    };
    let mut ends = [End::new(from, giver, &mut dice, 0), End::new(to, taker, &mut dice, 0)];
    let goal = from.store.set_summary().unwrap().entries;
    let (mut now, mut open, mut took) = (0, None, None);
    ends.iter_mut().for_each(|end| end.line(LineInput::Start, now));
    let started: u64 = loop {
        if open.is_none() && ends.iter().all(|end| end.met) {
            open = Some((now, ends.each_ref().map(|e| e.wire.carried)));
            ends.iter_mut().for_each(|end| end.session(Input::Start, now));
        }
        let since = open.map(|(at, _)| now - at);
        if took.is_none() && to.store.set_summary().unwrap().entries == goal {
            took = since;
        }
        if ends.iter().all(|end| end.done.is_some()) {
            break open.unwrap().1[0];
        }
        if cut.is_some_and(|ms| since.is_some_and(|since| since >= ms)) {
            ends.iter_mut().for_each(|end| end.session(Input::Eof, now));
            break open.unwrap().1[0];
        }
        let wires = ends.iter().filter_map(|e| e.wire.next());
        let lines = ends.iter().filter_map(|e| e.line.deadline());
        let sessions = ends.iter().filter(|_| open.is_some()).filter_map(|e| e.session.deadline());
        now = now.max(wires.chain(lines).chain(sessions).min().unwrap());
        assert!(now < 1_200_000, "seed {seed}: not done after 20 minutes");
        let [a, b] = &mut ends;
        a.turn(&mut b.wire, now);
        b.turn(&mut a.wire, now);
    };
    let [giver, taker] = ends;
    Run {
        took,
        summaries: [giver.session.summary(), taker.session.summary()],
        sent: giver.session.sent_ids().to_vec(),
        committed: taker.committed,
        bytes: giver.wire.carried - started,
        again: giver.line.counts().again,
    }
}

/// Ana's and Ben's stores: they hold the same, but for 20 posts of Ana and Cleo that Ben lacks.
fn camp(seed: u64) -> (Node, Node, Vec<EntryId>) {
    let mut ana = Node::founder(&format!("ana {seed}"));
    let mut ben = ana.invite("ben");
    let mut cleo = ana.invite("cleo");
    let thread = ana.note("Convoy to the ford", "Who has been there since the rain?");
    ana.pull(&ben);
    ana.pull(&cleo);
    ben.pull(&ana);
    cleo.pull(&ana);
    let words = "the ford is open since noon but trucks go one at a time and the second bend below \
                 the mill has washed out so we took the track by the school it holds eight tonnes \
                 water at the north well only take a rope and two spare belts ask at the post";
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut dice = Dice(seed);
    let mut posts = Vec::new();
    for n in 0..POSTS {
        let many = 8 + dice.roll(90);
        let text: Vec<&str> =
            (0..many).map(|_| words[dice.roll(words.len() as u64) as usize]).collect();
        let text = format!("{}. {n}", text.join(" "));
        let who = if dice.roll(5) < 3 { &mut ana } else { &mut cleo };
        who.now += 60_000 + dice.roll(600_000);
        let now = who.now;
        posts.push(who.reply(thread, &text));
        ana.now = now;
        cleo.now = now;
        ana.pull(&cleo);
    }
    ben.now = ana.now;
    (ana, ben, posts)
}

/// Milliseconds that posts take as they were sealed and signed.
fn raw_ms(node: &Node, posts: &[EntryId]) -> u64 {
    let entries = node.store.entries(posts).unwrap();
    assert_eq!(entries.len(), POSTS);
    let bytes: usize = entries
        .iter()
        .map(|e| e.verified.bytes().len() + 64 + e.payload.as_ref().unwrap().len())
        .sum();
    bytes as u64 * 8 * 1000 / BITS_PER_S
}

#[test]
fn twenty_posts_come_newest_first_and_almost_as_fast_as_the_line_goes() {
    let mut shares = Vec::new();
    for seed in 0..SEEDS {
        let (ana, ben, posts) = camp(seed);
        let raw = raw_ms(&ana, &posts);
        let run = run(&ana, &ben, seed, None);
        let took = run.took.unwrap();
        println!(
            "seed {seed}: raw {raw} ms, took {took} ms = {}%, {} bytes, {} frames again",
            took * 100 / raw,
            run.bytes,
            run.again
        );
        shares.push(took * 100 / raw);
        let came: Vec<EntryId> = run
            .committed
            .iter()
            .flat_map(|group| group.iter().rev())
            .filter(|id| posts.contains(id))
            .copied()
            .collect();
        let newest_first: Vec<EntryId> = posts.iter().rev().copied().collect();
        assert_eq!(came, newest_first, "seed {seed}");
        assert!(run.committed.len() > POSTS / 5, "in small groups: {}", run.committed.len());
        assert_eq!(ana.hash(), ben.hash());
    }
    println!("least {:?}, most {:?}", shares.iter().min(), shares.iter().max());
    assert!(shares.iter().all(|share| *share < 160), "{shares:?} % of what the raw bytes take");
}

#[test]
fn ten_interruptions_later_nothing_was_sent_that_was_there() {
    for seed in 0..SEEDS / 4 {
        let (ana, ben, posts) = camp(seed);
        let mut dice = Dice(seed);
        let (mut cuts, mut bytes, mut useful) = (0, 0, 0);
        loop {
            // By turns before anything can have come, and in the middle of it.
            let cut = match cuts {
                10 => None,
                _ if cuts % 2 == 0 => Some(6_000 + dice.roll(8_000)),
                _ => Some(20_000 + dice.roll(8_000)),
            };
            let held: HashSet<EntryId> =
                ben.store.items().unwrap().items.iter().map(|i| i.id).collect();
            let run = run(&ana, &ben, 1000 * seed + cuts, cut);
            let twice: Vec<&EntryId> = run.sent.iter().filter(|id| held.contains(id)).collect();
            assert!(twice.is_empty(), "seed {seed}: sent and was there: {twice:?}");
            assert_eq!(run.summaries[1].known, 0);
            bytes += run.bytes;
            useful += u64::from(!run.committed.is_empty());
            if run.took.is_some() {
                break;
            }
            cuts += 1;
        }
        println!("seed {seed}: {cuts} cuts, {bytes} bytes, {useful} runs brought something");
        assert!(cuts > 5, "seed {seed}: {cuts}");
        assert!(useful > 1, "seed {seed}: cut before anything could come");
        assert_eq!(ben.store.entries(&posts).unwrap().len(), POSTS);
        assert_eq!(ana.hash(), ben.hash());
    }
}
