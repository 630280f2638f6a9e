//! A scenario made by a seed: twelve honest nodes, four hostile ones, and everything that goes wrong.

use super::hostile;
use super::rng::Rng;
use super::scenario::{Act, Clock, Expect, LinkSpec, NodeSpec, RoleName, Scenario, Step};

/// Honest nodes, newcomers included.
const HONEST: usize = 12;
/// Hostile nodes.
const HOSTILE: usize = 4;
/// Of the honest ones, who join during the run.
const NEWCOMERS: usize = 2;
/// Seconds in which things go wrong.
const SECONDS: u64 = 120;
/// What members do.
const ACTS: usize = 36;

/// The scenario of a seed.
pub fn random(seed: u64) -> Scenario {
    let mut rng = Rng(seed).fork("scenario");
    let nodes = nodes(&mut rng);
    let mut timeline = Vec::new();
    acts(&mut rng, &nodes, &mut timeline);
    joins(&mut rng, &nodes, &mut timeline);
    if rng.chance(50) {
        removals(&mut rng, &nodes, &mut timeline);
    }
    trouble(&mut rng, &nodes, &mut timeline);
    let links = LinkSpec {
        latency_ms: (rng.below(20), rng.within(20, 600)),
        bytes_per_ms: vec![2, 20, 1000, 100_000],
        loss: *rng.pick(&[0, 10, 50, 90]),
        duplicate: *rng.pick(&[0, 10, 40]),
        cut: rng.below(60),
        meet_every_ms: rng.within(800, 2500),
        live: rng.chance(80),
    };
    Scenario {
        title: format!("seed {seed}"),
        outcome: "All honest members agree, and nothing that one of them wrote is lost.".into(),
        seconds: SECONDS,
        may_refuse: true,
        nodes,
        links,
        timeline,
        expect: Expect::default(),
    }
}

fn nodes(rng: &mut Rng) -> Vec<NodeSpec> {
    let mut nodes = Vec::with_capacity(HONEST + HOSTILE);
    for n in 0..HONEST {
        let wrong = rng.chance(35);
        nodes.push(NodeSpec {
            name: format!("honest {n}"),
            hostile: None,
            clock: if wrong { *rng.pick(&Clock::ALL) } else { Clock::Right },
            joins: n >= HONEST - NEWCOMERS,
        });
    }
    for n in 0..HOSTILE {
        let plug_in = *rng.pick(&hostile::ALL);
        nodes.push(NodeSpec {
            name: format!("{plug_in} {n}"),
            hostile: Some(plug_in.into()),
            clock: *rng.pick(&Clock::ALL),
            joins: false,
        });
    }
    nodes
}

fn honest(rng: &mut Rng, nodes: &[NodeSpec]) -> String {
    let honest: Vec<&NodeSpec> = nodes.iter().filter(|n| n.hostile.is_none()).collect();
    rng.pick(&honest).name.clone()
}

/// Some time in the run, to the millisecond.
fn time(rng: &mut Rng, from: u64, to: u64) -> f64 {
    rng.within(from * 1000, to * 1000) as f64 / 1000.0
}

fn step(at: f64, who: Option<String>, act: Act) -> Step {
    Step { at, who, refused: false, act }
}

fn acts(rng: &mut Rng, nodes: &[NodeSpec], timeline: &mut Vec<Step>) {
    // Something to speak of.
    let name = Some(nodes[0].name.clone());
    let text = "Who brings the tables?".to_string();
    timeline.push(step(0.1, name, Act::Post { name: None, text }));
    for n in 0..ACTS {
        let who = honest(rng, nodes);
        let text = format!("{who} says {n}: {}", "word ".repeat(rng.place(80)));
        let act = match rng.below(20) {
            0..3 => Act::Post { name: None, text },
            3..11 => Act::Reply { to: None, name: None, text },
            11..14 => Act::Edit { of: None, text },
            14..17 => Act::React { to: None },
            17 => Act::Checkpoint,
            _ => {
                let role = *rng.pick(&[RoleName::Lead, RoleName::Steward]);
                let to = honest(rng, nodes);
                // Mostly by the founder, who may.
                let by = if rng.chance(70) { nodes[0].name.clone() } else { who };
                let at = time(rng, 1, SECONDS - 10);
                timeline.push(step(at, Some(by), Act::Grant { to, role }));
                continue;
            }
        };
        timeline.push(step(time(rng, 1, SECONDS - 5), Some(who), act));
    }
    for node in nodes.iter().filter(|n| n.hostile.is_some()) {
        for _ in 0..rng.within(1, 3) {
            let at = time(rng, 5, SECONDS - 20);
            timeline.push(step(at, Some(node.name.clone()), Act::Turn));
        }
    }
}

/// Newcomers knock at several doors with one ticket.
fn joins(rng: &mut Rng, nodes: &[NodeSpec], timeline: &mut Vec<Step>) {
    let uses = u32::try_from(rng.within(1, NEWCOMERS as u64)).unwrap_or(1);
    let (name, role) = ("door".to_string(), RoleName::Member);
    let ticket = Act::Ticket { name, uses, role, expires: None };
    let inviter = nodes[rng.place(HONEST - NEWCOMERS)].name.clone();
    timeline.push(step(time(rng, 1, 20), Some(inviter), ticket));
    for node in nodes.iter().filter(|n| n.joins) {
        for _ in 0..6 {
            let through = nodes[rng.place(HONEST - NEWCOMERS)].name.clone();
            let join = Act::Join { ticket: "door".into(), through };
            timeline.push(step(time(rng, 20, SECONDS - 20), Some(node.name.clone()), join));
        }
    }
}

/// Members are made stewards, and some take membership and roles from others, motions included.
fn removals(rng: &mut Rng, nodes: &[NodeSpec], timeline: &mut Vec<Step>) {
    let first = nodes[0].name.clone();
    let stewards: Vec<String> =
        nodes[1..HONEST - NEWCOMERS].iter().take(4).map(|n| n.name.clone()).collect();
    for to in &stewards {
        let grant = Act::Grant { to: to.clone(), role: RoleName::Steward };
        timeline.push(step(time(rng, 1, 10), Some(first.clone()), grant));
    }
    for n in 0..rng.within(1, 3) {
        let who = rng.pick(&stewards).clone();
        let member = if rng.chance(60) { honest(rng, nodes) } else { rng.pick(nodes).name.clone() };
        let at = rng.within(20, SECONDS - 40);
        match rng.below(4) {
            0 => {
                let demote = Act::Demote { member, role: RoleName::Member };
                timeline.push(step(at as f64, Some(who), demote));
            }
            1 => {
                let name = format!("motion {n}");
                let motion = Act::Motion { name: name.clone(), remove: member };
                timeline.push(step(at as f64, Some(who), motion));
                for other in &stewards {
                    let at = time(rng, at + 1, at + 20);
                    let endorse = Act::Endorse { motion: name.clone() };
                    timeline.push(step(at, Some(other.clone()), endorse));
                }
                let by = honest(rng, nodes);
                let enact = Act::Enact { motion: name };
                timeline.push(step((at + 25) as f64, Some(by), enact));
            }
            _ => {
                let recovery = rng.chance(20);
                let remove = Act::Remove { member: member.clone(), recovery, erasing: false };
                timeline.push(step(at as f64, Some(who.clone()), remove));
                if rng.chance(30) {
                    let at = time(rng, at + 5, at + 30);
                    timeline.push(step(at, Some(who), Act::Readmit { member }));
                }
            }
        }
    }
}

/// Splits, couriers, crashes, sleep, clocks, copies.
fn trouble(rng: &mut Rng, nodes: &[NodeSpec], timeline: &mut Vec<Step>) {
    for _ in 0..rng.below(4) {
        let parts = rng.within(2, 3);
        let mut groups: Vec<Vec<String>> = (1..parts).map(|_| Vec::new()).collect();
        for node in nodes {
            if let Some(group) = groups.get_mut(rng.place(usize::try_from(parts).unwrap_or(2))) {
                group.push(node.name.clone());
            }
        }
        let at = rng.within(2, SECONDS - 30);
        timeline.push(step(at as f64, None, Act::Split { groups }));
        let end = at + rng.within(5, 60);
        timeline.push(step(end as f64, None, Act::Heal));
        // Somebody carries a copy across, some times.
        let courier = honest(rng, nodes);
        for _ in 0..rng.below(5) {
            let to = honest(rng, nodes);
            let at = time(rng, at, end);
            timeline.push(step(at, Some(courier.clone()), Act::Carry { to }));
        }
    }
    for _ in 0..rng.below(4) {
        let (at, back_after) = (time(rng, 2, SECONDS - 10), rng.below(30));
        let who = rng.pick(nodes).name.clone();
        timeline.push(step(at, Some(who), Act::Crash { back_after }));
    }
    for _ in 0..rng.below(3) {
        let (at, seconds) = (time(rng, 2, SECONDS - 10), rng.below(60));
        let who = rng.pick(nodes).name.clone();
        timeline.push(step(at, Some(who), Act::Suspend { seconds }));
    }
    for _ in 0..rng.below(3) {
        let (at, shows) = (time(rng, 2, SECONDS - 10), *rng.pick(&Clock::ALL));
        let who = rng.pick(nodes).name.clone();
        timeline.push(step(at, Some(who), Act::Clock { shows }));
    }
    if rng.chance(30) {
        let who = honest(rng, nodes);
        let at = rng.within(5, SECONDS / 2);
        timeline.push(step(at as f64, Some(who.clone()), Act::Backup));
        let back = rng.within(at, SECONDS - 10);
        timeline.push(step(back as f64, Some(who), Act::Restore));
    }
}
