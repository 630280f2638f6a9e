//! Two ends and a line between them, in made-up time.

use proptest::prelude::*;

use super::shaper::{Dice, Loss, Shaper};
use super::*;

struct Pair {
    now: u64,
    lines: [Line; 2],
    /// What end 0, and what end 1 sends.
    wires: [Shaper; 2],
    to_send: [Vec<u8>; 2],
    got: [Vec<u8>; 2],
    ended: [bool; 2],
    over: [Option<Result<(), LineError>>; 2],
    met: [bool; 2],
}

impl Pair {
    fn new(seed: u64, bits: u64, delay: u64, loss: Loss) -> Pair {
        let mut dice = Dice(seed);
        let wires = [0, 1].map(|n| Shaper::new(seed * 2 + n, bits, delay, loss));
        let lines = [0, 1].map(|_| Line::new(dice.bytes(), 0));
        let none = || [Vec::new(), Vec::new()];
        let mut pair = Pair {
            now: 0,
            lines,
            wires,
            to_send: none(),
            got: none(),
            ended: [false; 2],
            over: [None; 2],
            met: [false; 2],
        };
        for end in [0, 1] {
            pair.feed(end, Input::Start);
        }
        pair
    }

    fn feed(&mut self, end: usize, input: Input<'_>) {
        let outputs = self.lines[end].handle(input, self.now);
        self.lines[end].check_invariants();
        self.carry(end, outputs);
    }

    fn carry(&mut self, end: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Wire(frame) => {
                    self.wires[end].put(frame, self.now);
                    self.feed(end, Input::Written);
                }
                Output::Met { .. } => {
                    assert!(!std::mem::replace(&mut self.met[end], true));
                }
                Output::Stream(bytes) => {
                    assert!(self.met[end]);
                    self.got[end].extend(&bytes);
                    self.feed(end, Input::Taken(bytes.len()));
                }
                Output::End => assert!(!std::mem::replace(&mut self.ended[end], true)),
                Output::Over(result) => assert_eq!(self.over[end].replace(result), None),
            }
        }
        self.give(end);
    }

    fn give(&mut self, end: usize) {
        loop {
            let n = self.lines[end].room().min(self.to_send[end].len());
            if n == 0 {
                return;
            }
            let piece: Vec<u8> = self.to_send[end].drain(..n).collect();
            self.feed(end, Input::Stream(&piece));
        }
    }

    fn send(&mut self, end: usize, bytes: &[u8]) {
        self.to_send[end].extend_from_slice(bytes);
        self.give(end);
    }

    /// The next thing that happens; `false` when nothing ever will.
    fn step(&mut self) -> bool {
        let wires = self.wires.iter().filter_map(Shaper::next);
        let Some(next) = wires.chain(self.lines.iter().filter_map(Line::deadline)).min() else {
            return false;
        };
        self.now = self.now.max(next);
        for end in [0, 1] {
            while let Some(frame) = self.wires[1 - end].get(self.now) {
                self.feed(end, Input::Wire(&frame));
            }
            self.feed(end, Input::Tick);
        }
        true
    }

    #[track_caller]
    fn run_until(&mut self, limit: u64, done: impl Fn(&Pair) -> bool) {
        while !done(self) {
            assert!(self.step(), "nothing happens any more at {} ms", self.now);
            assert!(self.now < limit, "not done within {limit} ms: {:?}", self.lines);
        }
    }
}

fn text(n: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    (0..n).map(|_| dice.roll(4) as u8 * 85).collect()
}

#[test]
fn a_clean_line_carries_at_its_speed_and_then_is_silent() {
    let mut pair = Pair::new(1, 1200, 2000, Loss::Frames(0));
    pair.run_until(20_000, |p| p.met == [true; 2]);
    let (start, carried) = (pair.now, pair.wires[0].carried);
    let bytes = text(15_000, 1);
    pair.send(0, &bytes);
    pair.run_until(200_000, |p| p.got[1].len() == bytes.len());
    assert_eq!(pair.got[1], bytes);
    let took = pair.now - start;
    let sent = pair.wires[0].carried - carried;
    assert!(sent < 15_000 * 108 / 100, "{sent} bytes on the wire");
    assert_eq!(pair.lines[0].counts().again, 0);
    assert!(took < 115_000, "{took} ms for what takes 100,000 at least");
    while pair.step() {}
    let quiet = pair.wires.each_ref().map(|w| w.frames);
    assert_eq!(pair.lines.each_ref().map(Line::deadline), [None; 2]);
    pair.now += 3_600_000;
    pair.send(1, b"still there?");
    pair.run_until(pair.now + 10_000, |p| !p.got[0].is_empty());
    assert!(pair.wires[1].frames == quiet[1] + 1);
    while pair.step() {}
    assert!(pair.wires[0].frames == quiet[0] + 1);
}

#[test]
fn what_waits_before_the_line_is_little() {
    // Something short that comes up in the middle of much is not held up for long.
    for seed in 0..10 {
        let mut pair = Pair::new(seed, 1200, 2000, Loss::Frames(50));
        pair.run_until(120_000, |p| p.met == [true; 2]);
        pair.send(0, &text(12_000, 1));
        pair.run_until(600_000, |p| p.got[1].len() > 6_000);
        let waits = pair.wires[0].next().map_or(0, |_| pair.lines[0].counts().answer_ms);
        assert!(waits < 12_000, "seed {seed}: answers take {waits} ms where the line takes 5,500");
    }
}

#[test]
fn a_talk_like_a_sessions_is_not_held_up_for_long_by_a_lost_frame() {
    // Few short messages by turns, then one end says much and the other a little to all of it.
    let mut times: Vec<u64> = (0..300)
        .map(|seed| {
            let mut pair = Pair::new(seed, 1200, 2000, Loss::Frames(50));
            pair.run_until(300_000, |p| p.met == [true; 2]);
            let (start, mut said) = (pair.now, [0, 0]);
            for (end, bytes) in [(0, 90), (1, 90), (0, 400), (1, 60)] {
                pair.send(end, &text(bytes, 1));
                said[end] += bytes;
                pair.run_until(pair.now + 300_000, |p| p.got[1 - end].len() == said[end]);
            }
            pair.send(0, &text(6_600, 1));
            for part in 1..=20 {
                let so_far = said[0] + part * 330;
                pair.run_until(pair.now + 300_000, |p| p.got[1].len() >= so_far);
                pair.send(1, &text(44, 1));
            }
            pair.now - start
        })
        .collect();
    times.sort_unstable();
    let [half, most, all] = [150, 285, 299].map(|n| times[n]);
    println!("half within {half} ms, 95% within {most} ms, all within {all} ms");
    // The line alone takes 47 s for what is sent and 10 s for the turns.
    assert!(half < 70_000 && most < 85_000 && all < 100_000, "{half} {most} {all}");
}

#[test]
fn who_says_goodbye_is_heard() {
    for seed in 0..40 {
        let mut pair = Pair::new(seed, 2400, 300, Loss::Frames(50));
        pair.run_until(300_000, |p| p.met == [true; 2]);
        pair.send(0, b"one");
        pair.send(1, b"two");
        pair.feed(0, Input::End);
        pair.run_until(600_000, |p| p.ended[1]);
        pair.feed(1, Input::End);
        pair.run_until(900_000, |p| p.over[0].is_some() && p.over[1].is_some());
        assert_eq!(pair.got.each_ref().map(|g| &g[..]), [&b"two"[..], b"one"], "seed {seed}");
        assert_eq!(pair.over, [Some(Ok(())); 2], "seed {seed}");
    }
}

#[test]
fn a_dead_line_is_given_up_after_minutes_and_not_before() {
    let mut pair = Pair::new(3, 1200, 2000, Loss::Frames(0));
    pair.run_until(20_000, |p| p.met == [true; 2]);
    while pair.step() {}
    pair.wires[0].cut = true;
    let start = pair.now;
    pair.send(0, b"anybody there?");
    let before = pair.wires[0].frames;
    pair.run_until(start + SILENCE_MS + 1, |p| p.over[0].is_some());
    assert_eq!(pair.over[0], Some(Err(LineError::Dead)));
    assert!(pair.now >= start + SILENCE_MS);
    let tries = pair.wires[0].frames - before;
    assert!((4..15).contains(&tries), "{tries} tries");
}

#[test]
fn a_line_that_was_away_for_two_minutes_goes_on() {
    let mut pair = Pair::new(3, 1200, 500, Loss::Frames(20));
    pair.run_until(60_000, |p| p.met == [true; 2]);
    let bytes = text(3_000, 1);
    pair.send(0, &bytes);
    pair.run_until(60_000, |p| p.got[1].len() > 500);
    pair.wires.iter_mut().for_each(|w| w.cut = true);
    let back = pair.now + 120_000;
    while pair.now < back && pair.step() {}
    pair.wires.iter_mut().for_each(|w| w.cut = false);
    pair.run_until(back + 120_000, |p| p.got[1] == bytes);
}

#[test]
fn an_end_that_begins_anew_is_noticed_and_what_an_earlier_run_left_is_not_taken() {
    let mut pair = Pair::new(5, 1200, 2000, Loss::Frames(0));
    pair.run_until(20_000, |p| p.met == [true; 2]);
    pair.send(0, &text(2_000, 1));
    pair.run_until(60_000, |p| p.got[1].len() > 300);
    // Packets of the first run are still on the way to the second.
    pair.lines[1] = Line::new([9; 16], pair.now);
    pair.got[1].clear();
    pair.met[1] = false;
    pair.feed(1, Input::Start);
    pair.run_until(120_000, |p| p.over[0].is_some());
    assert_eq!(pair.over[0], Some(Err(LineError::Restarted)));
    assert!(pair.got[1].is_empty() && !pair.met[1]);
}

#[test]
fn an_echo_is_not_the_other_end() {
    let mut line = Line::new([1; 16], 0);
    let mut now = 0;
    let mut echo = line.handle(Input::Start, now);
    for _ in 0..20 {
        for output in std::mem::take(&mut echo) {
            let Output::Wire(frame) = output else { panic!("{output:?}") };
            echo.extend(line.handle(Input::Written, now));
            echo.extend(line.handle(Input::Wire(&frame), now));
        }
        now = line.deadline().unwrap();
        echo.extend(line.handle(Input::Tick, now));
    }
    assert!(line.counts().echoes > 5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_line_does_the_stream_comes_whole(
        seed: u64,
        sizes in (0usize..9_000, 0usize..3_000),
        bits in 300u64..20_000,
        delay in 0u64..3_000,
        loss in prop_oneof![
            (0u64..300).prop_map(Loss::Frames),
            (0u64..300).prop_map(Loss::Bytes),
            (0u64..300).prop_map(Loss::Mangled),
        ],
    ) {
        let mut pair = Pair::new(seed / 4, bits, delay, loss);
        let texts = [text(sizes.0, seed), text(sizes.1, !seed)];
        pair.send(0, &texts[0]);
        pair.send(1, &texts[1]);
        let day = 86_400_000;
        pair.run_until(day, |p| p.got[1] == texts[0] && p.got[0] == texts[1]);
        pair.feed(0, Input::End);
        pair.feed(1, Input::End);
        pair.run_until(day, |p| p.over.iter().all(Option::is_some));
        prop_assert_eq!(pair.got[1].len() + pair.got[0].len(), sizes.0 + sizes.1);
    }

    #[test]
    fn any_bytes_are_endured(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..20),
                             frames in proptest::collection::vec(any::<(u16, u16, bool, u8, u32)>(), 0..60)) {
        let (own, theirs) = ([1; 16], [2; 16]);
        let mut line = Line::new(own, 0);
        line.handle(Input::Start, 0);
        let greeting = Frame::Greeting { nonce: theirs, heard: Some(own) };
        line.handle(Input::Wire(&greeting.encode(&Tag::default())), 0);
        line.handle(Input::Stream(&[7; 500]), 0);
        let tag = tag(&theirs, &own);
        let mut now = 0;
        for (number, place, end, n, before) in frames {
            now += u64::from(before % 3_000);
            let received = Some(Received { greatest: place % 8, before });
            let bytes = vec![n; usize::from(n) % 200];
            let end = end || bytes.is_empty();
            let part = Some(Part { number, place: place % 20_000, end, bytes });
            let frame = Frame::Packet { received, part, gone: false };
            for input in [Input::Wire(&frame.encode(&tag)), Input::Written, Input::Tick] {
                line.handle(input, now);
                line.check_invariants();
            }
        }
        for piece in pieces {
            line.handle(Input::Wire(&piece), now);
            line.check_invariants();
        }
    }
}
