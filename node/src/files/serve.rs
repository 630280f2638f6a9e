//! What one stream of somebody who fetches is given.
//!
//! Sans-I/O: [`Serve::handle`] says what is to be done, the runtime does it. Rules:
//!
//! 1. ASK comes first and once; everything else breaks the protocol and ends the stream.
//! 2. Answers come in the order of the requests, one at a time: what waits is bounded by
//!    [`MAX_WAITING`], and whoever asks faster than it reads waits for the stream.
//! 3. A stream gives at most twice the groups of its file and [`SPARE_GROUPS`]: fetching a file over and
//!    over costs a new stream each time, and those are counted by device.
//! 4. Whoever says nothing for [`IDLE_MS`] is hung up on.

use lanai_crdt::id::FileRoot;

use super::wire::{Answer, No, Request};

/// Requests of one stream that wait to be answered.
pub const MAX_WAITING: usize = 64;
/// Groups beyond twice those of the file that a stream gives.
pub const SPARE_GROUPS: u32 = 64;
/// How long a stream may say nothing, in milliseconds.
pub const IDLE_MS: u64 = 60_000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A request came.
    Request(Request),
    /// The file that [`Output::Find`] was about is here, with so many groups; its outline, where wanted.
    Found {
        /// How many groups it has.
        groups: u32,
        /// What OUTLINE says.
        outline: Vec<lanai_crdt::file::ChainingValue>,
    },
    /// It is not, or a group cannot be read.
    Refused(No),
    /// The group that [`Output::Read`] was about.
    Read {
        /// Its number.
        group: u32,
        /// Its bytes, compared with the outline.
        sealed: Vec<u8>,
    },
    /// What was sent last is out.
    Sent,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Look whether a file may be given.
    Find {
        /// Which.
        root: FileRoot,
        /// Its bytes.
        bytes: u64,
        /// Whether its outline is wanted.
        outline: bool,
    },
    /// Read a group.
    Read(u32),
    /// Send this, and say when it is out.
    Send(Answer),
    /// The stream ends: well, or because the peer broke the protocol.
    End(Result<(), Breach>),
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A group before a file, or a second file.
    #[error("a request out of order")]
    Order,
    /// A group that the file does not have.
    #[error("group {0} does not exist")]
    NoGroup(u32),
    /// More requests at once than allowed.
    #[error("too many requests at once")]
    TooMany,
    /// More groups than a stream gives.
    #[error("more groups than a stream gives")]
    Greedy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Finding,
    Serving { groups: u32, left: u32 },
    Ending,
    Over,
}

/// One stream.
#[derive(Debug)]
pub struct Serve {
    state: State,
    waiting: std::collections::VecDeque<u32>,
    busy: bool,
}

impl Default for Serve {
    fn default() -> Serve {
        Serve { state: State::New, waiting: std::collections::VecDeque::new(), busy: false }
    }
}

impl Serve {
    /// Whether another request may be read.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING && !matches!(self.state, State::Ending | State::Over)
    }

    /// Takes what happened, says what is to be done.
    pub fn handle(&mut self, input: Input) -> Vec<Output> {
        match (self.state, input) {
            (State::Over, _) => Vec::new(),
            (State::New, Input::Request(Request::Ask { root, bytes, outline })) => {
                self.state = State::Finding;
                vec![Output::Find { root, bytes, outline }]
            }
            (State::Finding, Input::Found { groups, outline }) => {
                let left = groups.saturating_mul(2).saturating_add(SPARE_GROUPS);
                self.state = State::Serving { groups, left };
                self.send(Answer::Outline(outline))
            }
            (State::Finding | State::Serving { .. }, Input::Refused(no)) => {
                self.state = State::Ending;
                self.send(Answer::No(no))
            }
            (State::Serving { groups, left }, Input::Request(Request::Group(group))) => {
                if group >= groups {
                    return self.end(Err(Breach::NoGroup(group)));
                }
                if self.waiting.len() >= MAX_WAITING {
                    return self.end(Err(Breach::TooMany));
                }
                let Some(left) = left.checked_sub(1) else { return self.end(Err(Breach::Greedy)) };
                self.state = State::Serving { groups, left };
                self.waiting.push_back(group);
                self.next()
            }
            (State::Serving { .. }, Input::Read { group, sealed }) => {
                self.send(Answer::Slice { group, sealed })
            }
            (State::Ending, Input::Sent) => self.end(Ok(())),
            (_, Input::Sent) => {
                self.busy = false;
                self.next()
            }
            (_, Input::Request(_)) => self.end(Err(Breach::Order)),
            // Answers to questions that nobody waits for any more.
            (_, Input::Found { .. } | Input::Refused(_) | Input::Read { .. }) => Vec::new(),
        }
    }

    fn send(&mut self, answer: Answer) -> Vec<Output> {
        self.busy = true;
        vec![Output::Send(answer)]
    }

    fn next(&mut self) -> Vec<Output> {
        if self.busy {
            return Vec::new();
        }
        let Some(group) = self.waiting.pop_front() else { return Vec::new() };
        self.busy = true;
        vec![Output::Read(group)]
    }

    fn end(&mut self, how: Result<(), Breach>) -> Vec<Output> {
        self.state = State::Over;
        self.waiting.clear();
        vec![Output::End(how)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> Input {
        let root = FileRoot::new([1; 32]);
        Input::Request(Request::Ask { root, bytes: 9, outline: false })
    }

    fn group(group: u32) -> Input {
        Input::Request(Request::Group(group))
    }

    fn serving(groups: u32) -> Serve {
        let mut serve = Serve::default();
        assert!(matches!(serve.handle(ask()).as_slice(), [Output::Find { bytes: 9, .. }]));
        let found = serve.handle(Input::Found { groups, outline: Vec::new() });
        assert_eq!(found, [Output::Send(Answer::Outline(Vec::new()))]);
        assert_eq!(serve.handle(Input::Sent), []);
        serve
    }

    #[test]
    fn groups_are_given_in_the_order_they_were_asked_for_one_at_a_time() {
        let mut serve = serving(4);
        assert_eq!(serve.handle(group(3)), [Output::Read(3)]);
        assert_eq!(serve.handle(group(0)), []);
        let sent = serve.handle(Input::Read { group: 3, sealed: vec![7] });
        assert_eq!(sent, [Output::Send(Answer::Slice { group: 3, sealed: vec![7] })]);
        assert_eq!(serve.handle(group(1)), []);
        assert_eq!(serve.handle(Input::Sent), [Output::Read(0)]);
        assert_eq!(
            serve.handle(Input::Refused(No::Unreadable)),
            [Output::Send(Answer::No(No::Unreadable))]
        );
        assert!(!serve.has_room());
        assert_eq!(serve.handle(Input::Sent), [Output::End(Ok(()))]);
        assert_eq!(serve.handle(group(1)), []);
    }

    #[test]
    fn whoever_breaks_the_protocol_is_told_from_who_does_not() {
        let broken = |serve: &mut Serve, input| match serve.handle(input).as_slice() {
            [Output::End(Err(breach))] => *breach,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken(&mut Serve::default(), group(0)), Breach::Order);
        assert_eq!(broken(&mut serving(4), ask()), Breach::Order);
        assert_eq!(broken(&mut serving(4), group(4)), Breach::NoGroup(4));
        let mut finding = Serve::default();
        finding.handle(ask());
        assert_eq!(broken(&mut finding, group(0)), Breach::Order);
        let mut serve = serving(4);
        // One is being read, the others wait.
        for _ in 0..=MAX_WAITING {
            assert!(serve.has_room());
            serve.handle(group(0));
        }
        assert!(!serve.has_room());
        assert_eq!(broken(&mut serve, group(0)), Breach::TooMany);
    }

    #[test]
    fn a_stream_gives_a_file_twice_at_most() {
        let mut serve = serving(4);
        for n in 0..4 * 2 + SPARE_GROUPS {
            assert_eq!(serve.handle(group(n % 4)), [Output::Read(n % 4)]);
            serve.handle(Input::Read { group: n % 4, sealed: Vec::new() });
            serve.handle(Input::Sent);
        }
        assert_eq!(serve.handle(group(0)), [Output::End(Err(Breach::Greedy))]);
    }
}
