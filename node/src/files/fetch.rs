//! Fetching one file from whoever has it.
//!
//! Sans-I/O: [`Fetch::handle`] takes what happened and the time in milliseconds, and says what is to be
//! done. Rules:
//!
//! 1. Every peer is asked for the file first. The first outline that gives the root is kept for good; who
//!    came later is asked without it.
//! 2. Each peer that has the file is asked for the lowest groups that nobody is asked for, at most
//!    [`WINDOW`] at a time. So the quicker give more, and no group is asked for twice at once.
//! 3. **A wrong group or outline is a lie**: whoever sent it is named, hung up on and not asked again
//!    ([`Output::Blame`]); what it was asked for goes to others. What it gave before stays: it was proven.
//! 4. Who gives nothing for [`PATIENCE_MS`] is hung up on, and may come back. So may who hangs up.
//! 5. A group is here when it is written ([`Input::Written`]); the file is complete when all are.

use std::collections::{BTreeMap, BTreeSet};

use lanai_crdt::file::{ChainingValue, Layout, chaining_value, root_of};
use lanai_crdt::id::{DeviceId, FileRoot};

use super::wire::{Answer, No, Request};

/// Groups that one peer is asked for at the same time: 1 MiB on the way.
pub const WINDOW: usize = 16;
/// How long a peer that owes something may give nothing, in milliseconds.
pub const PATIENCE_MS: u64 = 15_000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A stream to a peer is open.
    Joined(DeviceId),
    /// It is closed.
    Left(DeviceId),
    /// An answer came.
    Answer(DeviceId, Answer),
    /// Something came that is no answer.
    Nonsense(DeviceId),
    /// A group is written.
    Written(u32),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to a peer.
    Send(DeviceId, Request),
    /// Close the stream to a peer.
    HangUp(DeviceId),
    /// Make the place for the file.
    Begin(Vec<ChainingValue>),
    /// Write a group, and say when it is written.
    Write(u32, Vec<u8>),
    /// Name a peer.
    Blame(DeviceId, Lie),
    /// All is written.
    Complete,
}

/// What a peer did that no honest node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// Its outline is not that of the file.
    #[error("sent an outline that is not the file's")]
    Outline,
    /// A group is not the file's.
    #[error("sent wrong bytes for group {0}")]
    Slice(u32),
    /// It sent what nobody had asked for, or what cannot be read.
    #[error("broke the protocol")]
    Nonsense,
}

/// How a peer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was asked whether it has the file.
    Asked,
    /// It gives groups.
    Gives,
    /// It said no.
    Refused(No),
    /// Its stream closed, or it was too slow.
    Left,
    /// It lied.
    Lied(Lie),
}

#[derive(Debug)]
struct Peer {
    standing: Standing,
    with_outline: bool,
    owes: BTreeSet<u32>,
    gave: u32,
    heard: u64,
}

/// One file on its way.
#[derive(Debug)]
pub struct Fetch {
    root: FileRoot,
    layout: Layout,
    outline: Option<Vec<ChainingValue>>,
    /// What nobody is asked for and is not here.
    missing: BTreeSet<u32>,
    /// Proven and not written yet.
    writing: BTreeSet<u32>,
    written: u32,
    peers: BTreeMap<DeviceId, Peer>,
    complete: bool,
}

impl Fetch {
    /// A file of which nothing is here.
    pub fn new(root: FileRoot, layout: Layout) -> Fetch {
        Fetch {
            root,
            layout,
            outline: None,
            missing: (0..layout.groups()).collect(),
            writing: BTreeSet::new(),
            written: 0,
            peers: BTreeMap::new(),
            complete: false,
        }
    }

    /// A file of which some groups are here, by an outline that gives the root.
    pub fn resume(
        root: FileRoot,
        layout: Layout,
        outline: Vec<ChainingValue>,
        here: &[bool],
    ) -> Fetch {
        let mut fetch = Fetch::new(root, layout);
        let there = (0..).zip(here).filter(|(_, here)| **here).map(|(group, _)| group);
        for group in there {
            fetch.written += u32::from(fetch.missing.remove(&group));
        }
        fetch.outline = Some(outline);
        fetch
    }

    /// How many groups are written.
    pub fn written(&self) -> u32 {
        self.written
    }

    /// Whether a peer may be asked (again): it neither lied nor is being asked.
    pub fn may_ask(&self, device: &DeviceId) -> bool {
        !self.complete
            && self.peers.get(device).is_none_or(|peer| match peer.standing {
                Standing::Asked | Standing::Gives | Standing::Lied(_) => false,
                Standing::Refused(_) | Standing::Left => true,
            })
    }

    /// Everybody who was asked, how they stand, and how many groups they gave.
    pub fn peers(&self) -> impl Iterator<Item = (DeviceId, Standing, u32)> + '_ {
        self.peers.iter().map(|(device, peer)| (*device, peer.standing, peer.gave))
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<u64> {
        let owing = self.peers.values().filter(|peer| peer.is_owing());
        owing.map(|peer| peer.heard.saturating_add(PATIENCE_MS)).min()
    }

    /// Takes what happened, says what is to be done.
    pub fn handle(&mut self, input: Input, now: u64) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Joined(device) if self.may_ask(&device) => self.ask(device, now, &mut out),
            Input::Joined(device) => out.push(Output::HangUp(device)),
            Input::Left(device) => self.leave(&device, Standing::Left),
            Input::Nonsense(device) => self.blame(device, Lie::Nonsense, &mut out),
            Input::Answer(device, answer) => self.answer(device, answer, now, &mut out),
            Input::Written(group) => {
                self.written += u32::from(self.writing.remove(&group));
            }
            Input::Tick => {}
        }
        self.give_up_on_slow(now, &mut out);
        if self.written == self.layout.groups() && !self.complete {
            self.complete = true;
            out.push(Output::Complete);
        }
        self.ask_for_groups(now, &mut out);
        out
    }

    fn ask(&mut self, device: DeviceId, now: u64, out: &mut Vec<Output>) {
        let with_outline = self.outline.is_none();
        let gave = self.peers.get(&device).map_or(0, |peer| peer.gave);
        let peer = Peer {
            standing: Standing::Asked,
            with_outline,
            owes: BTreeSet::new(),
            gave,
            heard: now,
        };
        self.peers.insert(device, peer);
        let (root, bytes) = (self.root, self.layout.bytes());
        out.push(Output::Send(device, Request::Ask { root, bytes, outline: with_outline }));
    }

    fn answer(&mut self, device: DeviceId, answer: Answer, now: u64, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&device) else { return };
        match (peer.standing, answer) {
            (Standing::Asked, Answer::Outline(values)) => {
                peer.heard = now;
                if !peer.with_outline {
                    if !values.is_empty() {
                        return self.blame(device, Lie::Nonsense, out);
                    }
                } else if root_of(&self.layout, &values) != Some(self.root) {
                    return self.blame(device, Lie::Outline, out);
                } else if self.outline.is_none() {
                    out.push(Output::Begin(values.clone()));
                    self.outline = Some(values);
                }
                peer.standing = Standing::Gives;
            }
            (Standing::Gives, Answer::Slice { group, sealed }) => {
                if !peer.owes.contains(&group) {
                    return self.blame(device, Lie::Nonsense, out);
                }
                let at = usize::try_from(group).unwrap_or(usize::MAX);
                let wanted = self.outline.as_ref().and_then(|outline| outline.get(at));
                match chaining_value(&self.layout, group, &sealed) {
                    Some(value) if Some(&value) == wanted => {
                        peer.owes.remove(&group);
                        peer.gave = peer.gave.saturating_add(1);
                        peer.heard = now;
                        self.writing.insert(group);
                        out.push(Output::Write(group, sealed));
                    }
                    _ => self.blame(device, Lie::Slice(group), out),
                }
            }
            (Standing::Asked | Standing::Gives, Answer::No(no)) => {
                self.leave(&device, Standing::Refused(no));
                out.push(Output::HangUp(device));
            }
            (Standing::Asked | Standing::Gives, _) => self.blame(device, Lie::Nonsense, out),
            // What came after it was hung up on.
            _ => {}
        }
    }

    /// What the peer owes is to be had from others.
    fn leave(&mut self, device: &DeviceId, how: Standing) {
        let Some(peer) = self.peers.get_mut(device) else { return };
        if matches!(peer.standing, Standing::Lied(_)) {
            return;
        }
        if how != Standing::Left || matches!(peer.standing, Standing::Asked | Standing::Gives) {
            peer.standing = how;
        }
        self.missing.append(&mut peer.owes);
    }

    fn blame(&mut self, device: DeviceId, lie: Lie, out: &mut Vec<Output>) {
        self.leave(&device, Standing::Left);
        let Some(peer) = self.peers.get_mut(&device) else { return };
        if matches!(peer.standing, Standing::Lied(_)) {
            return;
        }
        peer.standing = Standing::Lied(lie);
        out.push(Output::Blame(device, lie));
        out.push(Output::HangUp(device));
    }

    fn give_up_on_slow(&mut self, now: u64, out: &mut Vec<Output>) {
        let late = |peer: &Peer| peer.is_owing() && now >= peer.heard.saturating_add(PATIENCE_MS);
        let slow: Vec<DeviceId> =
            self.peers.iter().filter(|(_, peer)| late(peer)).map(|(device, _)| *device).collect();
        for device in slow {
            self.leave(&device, Standing::Left);
            out.push(Output::HangUp(device));
        }
    }

    fn ask_for_groups(&mut self, now: u64, out: &mut Vec<Output>) {
        if self.outline.is_none() {
            return;
        }
        // A group to each in turn, so that the last ones are not all asked of one.
        loop {
            let before = self.missing.len();
            for (device, peer) in &mut self.peers {
                if peer.standing != Standing::Gives || peer.owes.len() >= WINDOW {
                    continue;
                }
                let Some(group) = self.missing.pop_first() else { return };
                if peer.owes.is_empty() {
                    peer.heard = now;
                }
                peer.owes.insert(group);
                out.push(Output::Send(*device, Request::Group(group)));
            }
            if self.missing.len() == before {
                return;
            }
        }
    }
}

impl Peer {
    fn is_owing(&self) -> bool {
        self.standing == Standing::Asked || !self.owes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use lanai_crdt::file::{FileKey, GROUP_TEXT_BYTES};

    use super::*;

    struct Whole {
        root: FileRoot,
        layout: Layout,
        groups: Vec<Vec<u8>>,
        outline: Vec<ChainingValue>,
    }

    fn whole(groups: usize) -> Whole {
        let key = FileKey::from_bytes(&[7; 32]);
        let text = vec![5; groups * GROUP_TEXT_BYTES - 100];
        let layout = Layout::of(text.len() as u64).unwrap();
        let parts = text.chunks(GROUP_TEXT_BYTES).zip(0..);
        let groups: Vec<Vec<u8>> =
            parts.map(|(part, n)| key.seal(&layout, n, part).unwrap()).collect();
        let values = groups.iter().zip(0..).map(|(g, n)| chaining_value(&layout, n, g).unwrap());
        let outline: Vec<_> = values.collect();
        let root = root_of(&layout, &outline).unwrap();
        Whole { root, layout, groups, outline }
    }

    impl Whole {
        fn fetch(&self) -> Fetch {
            Fetch::new(self.root, self.layout)
        }

        fn slice(&self, group: u32) -> Answer {
            Answer::Slice { group, sealed: self.groups[group as usize].clone() }
        }
    }

    fn device(n: u8) -> DeviceId {
        DeviceId::new([n; 32])
    }

    fn groups_asked(out: &[Output], of: DeviceId) -> Vec<u32> {
        let group = |o: &Output| match o {
            Output::Send(to, Request::Group(group)) if *to == of => Some(*group),
            _ => None,
        };
        out.iter().filter_map(group).collect()
    }

    fn outline(of: &Whole) -> Answer {
        Answer::Outline(of.outline.clone())
    }

    /// Answers all that is asked of peers, by what `give` makes of a group, until nothing is owed.
    fn play(
        fetch: &mut Fetch,
        of: &Whole,
        mut out: Vec<Output>,
        mut give: impl FnMut(DeviceId, u32) -> Option<Answer>,
    ) -> (Vec<(DeviceId, Lie)>, bool, Vec<u32>) {
        let (mut blamed, mut complete, mut written) = (Vec::new(), false, Vec::new());
        while !out.is_empty() {
            let mut next = Vec::new();
            for output in out {
                match output {
                    Output::Send(to, Request::Ask { outline: wanted, .. }) => {
                        let values = if wanted { of.outline.clone() } else { Vec::new() };
                        next.extend(fetch.handle(Input::Answer(to, Answer::Outline(values)), 1));
                    }
                    Output::Send(from, Request::Group(group)) => match give(from, group) {
                        Some(answer) => next.extend(fetch.handle(Input::Answer(from, answer), 1)),
                        None => next.extend(fetch.handle(Input::Left(from), 1)),
                    },
                    Output::Write(group, sealed) => {
                        assert_eq!(sealed, of.groups[group as usize]);
                        written.push(group);
                        next.extend(fetch.handle(Input::Written(group), 1));
                    }
                    Output::Blame(who, lie) => blamed.push((who, lie)),
                    Output::Complete => complete = true,
                    Output::HangUp(_) | Output::Begin(_) => {}
                }
            }
            out = next;
        }
        (blamed, complete, written)
    }

    #[test]
    fn one_peer_gives_all_and_each_group_is_asked_for_once() {
        for n in [1, 2, 50] {
            let of = whole(n);
            let mut fetch = of.fetch();
            let out = fetch.handle(Input::Joined(device(1)), 0);
            let mut asked = BTreeSet::new();
            let (blamed, complete, written) = play(&mut fetch, &of, out, |_, group| {
                assert!(asked.insert(group), "{group} was asked for twice");
                Some(of.slice(group))
            });
            assert!(complete && blamed.is_empty());
            assert_eq!(written.len(), n);
            assert_eq!(fetch.written() as usize, n);
            assert!(!fetch.may_ask(&device(2)));
        }
    }

    #[test]
    fn several_peers_share_and_who_leaves_is_replaced() {
        let of = whole(100);
        let mut fetch = of.fetch();
        let mut out = fetch.handle(Input::Joined(device(1)), 0);
        out.extend(fetch.handle(Input::Joined(device(2)), 0));
        let mut given = BTreeMap::<DeviceId, u32>::new();
        let (blamed, complete, written) = play(&mut fetch, &of, out, |who, group| {
            let count = given.entry(who).or_default();
            if who == device(1) && *count == 20 {
                return None;
            }
            *count += 1;
            Some(of.slice(group))
        });
        assert!(complete && blamed.is_empty(), "{blamed:?}");
        assert_eq!(written.len(), 100, "something was fetched twice");
        assert_eq!((given[&device(1)], given[&device(2)]), (20, 80));
        let standing: Vec<_> = fetch.peers().collect();
        assert_eq!(standing[0], (device(1), Standing::Left, 20));
    }

    #[test]
    fn a_liar_is_named_at_the_first_wrong_group_and_others_give_it() {
        let of = whole(40);
        let mut fetch = of.fetch();
        let mut out = Vec::new();
        for n in 1..=3 {
            out.extend(fetch.handle(Input::Joined(device(n)), 0));
        }
        let mut lies = 0;
        let (blamed, complete, written) = play(&mut fetch, &of, out, |who, group| {
            let mut answer = of.slice(group);
            if let (true, Answer::Slice { sealed, .. }) = (who == device(2), &mut answer) {
                sealed[7] ^= 1;
                lies += 1;
            }
            Some(answer)
        });
        assert!(complete);
        assert_eq!(written.len(), 40);
        assert_eq!(blamed.len(), 1);
        assert!(matches!(blamed[0], (who, Lie::Slice(_)) if who == device(2)), "{blamed:?}");
        // It is not asked again, whatever it does.
        assert!(!fetch.may_ask(&device(2)));
        fetch.handle(Input::Left(device(2)), 2);
        assert!(!fetch.may_ask(&device(2)));
    }

    #[test]
    fn lies_of_every_kind_are_named() {
        let of = whole(20);
        let other = whole(19);
        let asked = |fetch: &mut Fetch, n| fetch.handle(Input::Joined(device(n)), 0);
        let blamed = |out: Vec<Output>| match out.as_slice() {
            [Output::Blame(_, lie), Output::HangUp(_)] => *lie,
            other => panic!("{other:?}"),
        };
        let mut fetch = of.fetch();
        asked(&mut fetch, 1);
        let mut swapped = of.outline.clone();
        swapped.swap(3, 4);
        for (n, values) in [(1, swapped), (2, other.outline.clone()), (3, Vec::new())] {
            asked(&mut fetch, n);
            let answer = Answer::Outline(values);
            assert_eq!(blamed(fetch.handle(Input::Answer(device(n), answer), 0)), Lie::Outline);
        }
        asked(&mut fetch, 4);
        let answer = Input::Answer(device(4), of.slice(0));
        assert_eq!(blamed(fetch.handle(answer, 0)), Lie::Nonsense);

        asked(&mut fetch, 5);
        let out = fetch.handle(Input::Answer(device(5), outline(&of)), 0);
        assert!(matches!(out[0], Output::Begin(_)));
        assert_eq!(groups_asked(&out, device(5)).len(), WINDOW);
        // A group that it was not asked for, a cut one, and a good one in the place of another.
        let answer = Input::Answer(device(5), of.slice(19));
        let out = fetch.handle(answer, 0);
        assert_eq!(blamed(out), Lie::Nonsense);
        asked(&mut fetch, 6);
        fetch.handle(Input::Answer(device(6), Answer::Outline(Vec::new())), 0);
        let cut = Answer::Slice { group: 0, sealed: of.groups[0][1..].to_vec() };
        assert_eq!(blamed(fetch.handle(Input::Answer(device(6), cut), 0)), Lie::Slice(0));
        asked(&mut fetch, 7);
        fetch.handle(Input::Answer(device(7), Answer::Outline(Vec::new())), 0);
        let moved = Answer::Slice { group: 0, sealed: of.groups[1].clone() };
        assert_eq!(blamed(fetch.handle(Input::Answer(device(7), moved), 0)), Lie::Slice(0));
        // An outline that was not wanted.
        asked(&mut fetch, 8);
        let answer = Input::Answer(device(8), outline(&of));
        assert_eq!(blamed(fetch.handle(answer, 0)), Lie::Nonsense);
        assert_eq!(blamed_again(&mut fetch), []);
        assert_eq!(fetch.written(), 0);
    }

    fn blamed_again(fetch: &mut Fetch) -> Vec<Output> {
        fetch.handle(Input::Nonsense(device(8)), 0)
    }

    #[test]
    fn who_gives_nothing_is_given_up_on_and_may_come_back() {
        let of = whole(20);
        let mut fetch = of.fetch();
        fetch.handle(Input::Joined(device(1)), 0);
        assert_eq!(fetch.deadline(), Some(PATIENCE_MS));
        assert_eq!(fetch.handle(Input::Tick, PATIENCE_MS - 1), []);
        let late = fetch.handle(Input::Tick, PATIENCE_MS);
        assert_eq!(late, [Output::HangUp(device(1))]);
        assert!(fetch.may_ask(&device(1)));
        fetch.handle(Input::Joined(device(1)), 20_000);
        let out = fetch.handle(Input::Answer(device(1), outline(&of)), 20_000);
        assert_eq!(groups_asked(&out, device(1)).len(), WINDOW);
        // One that gives keeps its place; what the slow one owes goes to the next.
        fetch.handle(Input::Answer(device(1), of.slice(0)), 30_000);
        fetch.handle(Input::Joined(device(2)), 30_000);
        let out = fetch.handle(Input::Answer(device(2), Answer::Outline(Vec::new())), 30_000);
        assert_eq!(groups_asked(&out, device(2)), [17, 18, 19]);
        fetch.handle(Input::Answer(device(2), of.slice(17)), 44_000);
        let out = fetch.handle(Input::Tick, 45_000);
        assert!(out.contains(&Output::HangUp(device(1))));
        assert_eq!(groups_asked(&out, device(2)).len(), WINDOW - 2);
    }

    #[test]
    fn what_is_here_is_not_asked_for() {
        let of = whole(20);
        let mut here = vec![true; 20];
        here[3] = false;
        here[19] = false;
        let mut fetch = Fetch::resume(of.root, of.layout, of.outline.clone(), &here);
        assert_eq!(fetch.written(), 18);
        let out = fetch.handle(Input::Joined(device(1)), 0);
        assert!(matches!(out[..], [Output::Send(_, Request::Ask { outline: false, .. })]));
        let (_, complete, written) = play(&mut fetch, &of, out, |_, group| Some(of.slice(group)));
        assert!(complete);
        assert_eq!(written, [3, 19]);
        let mut all = Fetch::resume(of.root, of.layout, of.outline.clone(), &[true; 20]);
        assert_eq!(all.handle(Input::Tick, 0), [Output::Complete]);
    }

    #[test]
    fn a_no_is_an_answer_and_no_lie() {
        let of = whole(2);
        let mut fetch = of.fetch();
        fetch.handle(Input::Joined(device(1)), 0);
        let out = fetch.handle(Input::Answer(device(1), Answer::No(No::NotHere)), 0);
        assert_eq!(out, [Output::HangUp(device(1))]);
        fetch.handle(Input::Left(device(1)), 0);
        let standing: Vec<_> = fetch.peers().collect();
        assert_eq!(standing, [(device(1), Standing::Refused(No::NotHere), 0)]);
        assert!(fetch.may_ask(&device(1)));
        assert_eq!(fetch.deadline(), None);
    }
}
