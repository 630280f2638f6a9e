//! Several days of six nodes that sleep, move, lose what is sent to them, and are killed.
//!
//! What [`random`](super::random()) does in two minutes to a crowd, with forgers among it, happens here to a
//! few honest ones at the pace of life: machines are closed at night and in meetings, carried from one
//! network to the next, and meet when they happen to be in the same one. Nothing may grow with the time
//! that passes: what sessions hold, what waits, and the bytes of a store for each entry in it are bounded
//! by the scenario.

use super::rng::Rng;
use super::scenario::{Act, Bounds, Expect, LinkSpec, NodeSpec, Scenario, Step};

/// Who lives through it.
const NAMES: [&str; 6] = ["ana", "ben", "cleo", "dov", "eve", "fay"];
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// What members write in a day.
const ACTS_A_DAY: u64 = 60;
/// Troubles of a day.
const TROUBLES_A_DAY: u64 = 40;
/// Two nodes of one network exchange about so often.
const MEET_EVERY_MS: u64 = 240_000;
/// Bytes that a session may hold for its peer here: all that is ever written is less.
const SESSION_BYTES: u64 = 1 << 20;
/// Bytes of a store for each entry: the longest text of a member here, its views, its words in the index.
const STORE_BYTES_AN_ENTRY: u64 = 8 << 10;
/// Events under way: live messages, ticks of sessions that hang, and pieces of sessions, some of which are cut into
/// pieces of a few bytes.
const EVENTS: u64 = 5000;

/// So many days, by a seed.
pub fn days(seed: u64, days: u64) -> Scenario {
    let mut rng = Rng(seed).fork("days");
    let mut timeline = Vec::new();
    let first = Act::Post { name: None, text: "Who brings the tables?".into() };
    timeline.push(Step { at: 1.0, who: Some(NAMES[0].into()), refused: false, act: first });
    for day in 0..days {
        acts(&mut rng, day * DAY, &mut timeline);
        nights(&mut rng, day * DAY, &mut timeline);
        troubles(&mut rng, day * DAY, &mut timeline);
        networks(&mut rng, day * DAY, &mut timeline);
    }
    let named = |name: &str| NodeSpec { name: name.into(), ..NodeSpec::default() };
    Scenario {
        title: format!("{days} days, seed {seed}"),
        outcome: "All agree, nothing is lost, and nothing grew but what was written.".into(),
        seconds: days * DAY,
        // Who has nothing yet cannot reply.
        may_refuse: true,
        nodes: NAMES.map(named).into(),
        links: LinkSpec {
            latency_ms: (2, 300),
            bytes_per_ms: vec![2, 100, 10_000],
            loss: 20,
            duplicate: 10,
            cut: 15,
            meet_every_ms: MEET_EVERY_MS,
            live: true,
        },
        timeline,
        expect: Expect {
            members: Some(NAMES.map(String::from).into()),
            at_most: Bounds {
                session_bytes: Some(SESSION_BYTES),
                // One for each two of them.
                sessions: Some((NAMES.len() * (NAMES.len() - 1) / 2) as u64),
                waiting: Some(0),
                store_bytes_an_entry: Some(STORE_BYTES_AN_ENTRY),
                events: Some(EVENTS),
            },
            ..Expect::default()
        },
    }
}

fn anyone(rng: &mut Rng) -> Option<String> {
    Some((*rng.pick(&NAMES)).into())
}

/// Some time of a day, to the millisecond.
fn time(rng: &mut Rng, from: u64) -> f64 {
    (from * 1000 + rng.below(DAY * 1000)) as f64 / 1000.0
}

fn acts(rng: &mut Rng, from: u64, timeline: &mut Vec<Step>) {
    for n in 0..ACTS_A_DAY {
        let text = format!("{from} {n}: {}", "word ".repeat(rng.place(120)));
        let act = match rng.below(20) {
            0..2 => Act::Post { name: None, text },
            2..13 => Act::Reply { to: None, name: None, text },
            13..16 => Act::Edit { of: None, text },
            16..19 => Act::React { to: None },
            _ => Act::Checkpoint,
        };
        timeline.push(Step { at: time(rng, from), who: anyone(rng), refused: false, act });
    }
}

/// Each machine is closed for a night, at its own time, but for those whose people work then.
fn nights(rng: &mut Rng, from: u64, timeline: &mut Vec<Step>) {
    for name in NAMES {
        if rng.chance(70) {
            let seconds = rng.within(4 * HOUR, 9 * HOUR);
            let at = time(rng, from);
            let act = Act::Suspend { seconds };
            timeline.push(Step { at, who: Some(name.into()), refused: false, act });
        }
    }
}

fn troubles(rng: &mut Rng, from: u64, timeline: &mut Vec<Step>) {
    for _ in 0..TROUBLES_A_DAY {
        let act = match rng.below(10) {
            0..3 => Act::Suspend { seconds: rng.within(5, HOUR) },
            3..5 => Act::Move,
            5..8 => {
                let from = if rng.chance(50) { anyone(rng) } else { None };
                Act::HalfOpen { from, seconds: rng.within(10, 2 * HOUR) }
            }
            _ => Act::Crash { back_after: rng.within(1, HOUR) },
        };
        timeline.push(Step { at: time(rng, from), who: anyone(rng), refused: false, act });
    }
}

/// People are spread over two places some of the day, and some walk from one to the other.
fn networks(rng: &mut Rng, from: u64, timeline: &mut Vec<Step>) {
    for _ in 0..rng.within(1, 3) {
        let here: Vec<String> =
            NAMES.iter().filter(|_| rng.chance(50)).map(|n| (*n).into()).collect();
        let at = time(rng, from);
        let split = Act::Split { groups: vec![here] };
        timeline.push(Step { at, who: None, refused: false, act: split });
        let apart = rng.within(HOUR, 8 * HOUR) as f64;
        for _ in 0..rng.below(4) {
            let to = (*rng.pick(&NAMES)).into();
            let at = at + apart * rng.below(100) as f64 / 100.0;
            timeline.push(Step { at, who: anyone(rng), refused: false, act: Act::Carry { to } });
        }
        timeline.push(Step { at: at + apart, who: None, refused: false, act: Act::Heal });
    }
}
