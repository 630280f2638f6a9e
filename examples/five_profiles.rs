//! Five members with different profiles over an archive: what each of them sees.
//!
//! ```text
//! cargo run --release --example five_profiles -- ARCHIVE.mbox.gz [DIRECTORY]
//! ```
//!
//! Makes five homes in the directory (a temporary one if none is given), tells a story of two months
//! among them, brings the archive along, and runs `inbox`, `needs`, `digest`, `who` and `search` as
//! each of them. The homes stay in a directory that was given: `lanai --home DIRECTORY/Ana inbox`.
//! The texts fit an archive about universes and minds; with another one only the searches find less.

// The five are named by constants.
#![allow(clippy::print_stdout, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Command;

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Ask, Body, Mark, Post, PostRole, Profile, Tend, ThreadState};
use lanai_node::store::{NewEntry, Store, Watch};
use support::{Person, Result, found, now, set_clock_behind};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Name, posts held, experience, "ask me about".
const PEOPLE: [[&str; 4]; 5] = [
    ["Ana", "keeps the archive", "physics teacher for twenty years", "many worlds, decoherence"],
    ["Ben", "compiler engineer", "wrote two interpreters", "Turing machines and computability"],
    [
        "Cleo",
        "philosopher of mind",
        "a thesis on personal identity",
        "consciousness, identity, zombies",
    ],
    [
        "Dov",
        "statistician",
        "trials, then insurance",
        "probability, self-sampling, anthropic reasoning",
    ],
    ["Eve", "student", "", ""],
];

fn main() -> Result<()> {
    // The same program is also `lanai`, so that it can be run as each member.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if std::env::var_os("FIVE_PROFILES_AS_LANAI").is_some() {
        let code = lanai_cli::main();
        return if code == std::process::ExitCode::SUCCESS {
            Ok(())
        } else {
            Err("it failed".into())
        };
    }
    let Some(archive) = words.first() else { return Err("name an archive (mbox)".into()) };
    let temporary = tempfile::tempdir()?;
    let dir = words.get(1).map_or(temporary.path(), Path::new);
    let people = story(dir)?;
    set_clock_behind(0);
    println!("== the archive");
    lanai(dir, "Ana", &["import", "mbox", archive])?;
    for person in people.iter().skip(1) {
        person.take_all_from(&people[0])?;
    }
    drop(people);
    for [name, ..] in PEOPLE {
        for line in [&["inbox"][..], &["needs"], &["digest", "--minutes", "5"], &["topic", "list"]]
        {
            println!("\n== {name}: lanai {}", line.join(" "));
            lanai(dir, name, line)?;
        }
    }
    for line in [
        &["who", "probability"][..],
        &["who", "turing"],
        &["search", "--best", "quantum", "suicide", "-n", "5"],
        &["threads", "-n", "12"],
    ] {
        println!("\n== Eve: lanai {}", line.join(" "));
        lanai(dir, "Eve", line)?;
    }
    Ok(())
}

/// Runs a command as a member, on whatever this runs on.
fn lanai(dir: &Path, name: &str, line: &[&str]) -> Result<()> {
    let done = Command::new(std::env::current_exe()?)
        .env("FIVE_PROFILES_AS_LANAI", "1")
        .arg("--no-pager")
        .arg("--home")
        .arg(dir.join(name))
        .args(line)
        .status()?;
    if done.success() { Ok(()) } else { Err(format!("{name}: {line:?}: {done}").into()) }
}

/// What was done when, by whom, counted back from now.
struct Story<'a> {
    people: &'a [Person],
}

impl Story<'_> {
    fn at(days: u64, hours: u64) {
        set_clock_behind(days * DAY + hours * HOUR);
    }

    fn write(&self, who: usize, body: Body, refs: &[EntryId]) -> Result<EntryId> {
        let new = NewEntry::new(body, refs.iter().copied());
        let ids = self.people[who].write(vec![new])?;
        self.exchange()?;
        ids.first().copied().ok_or_else(|| "nothing was written".into())
    }

    /// Everybody meets everybody.
    fn exchange(&self) -> Result<()> {
        let (first, others) = self.people.split_first().ok_or("nobody")?;
        for other in others {
            first.take_all_from(other)?;
        }
        for other in others {
            other.take_all_from(first)?;
        }
        Ok(())
    }

    fn ask(
        &self,
        who: usize,
        title: &str,
        text: &str,
        tags: &[&str],
        by: Option<i64>,
    ) -> Result<EntryId> {
        // As `lanai ask --by DATE` has it: to the end of that day.
        let end = |ms: u64| ms - ms % DAY + DAY - 1000;
        let need_by =
            by.map(|days| end(real_now().saturating_add_signed(days * DAY.cast_signed())));
        let ask = Ask {
            title: title.into(),
            situation: text.into(),
            decide: None,
            need_by,
            tried: None,
            helps: None,
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            origin: None,
        };
        self.write(who, Body::Ask(ask), &[])
    }

    fn post(&self, who: usize, refs: &[EntryId], text: &str) -> Result<EntryId> {
        let post = Post { role: PostRole::Reply, text: text.into(), origin: None, met: None };
        self.write(who, Body::Post(post), refs)
    }

    fn reads(&self, who: usize, thread: EntryId) -> Result<()> {
        let store: &Store = &self.people[who].store;
        let view = store.thread(&thread)?.ok_or("no such thread")?;
        let shown: Vec<EntryId> = view.thread.posts.iter().map(|post| post.id).collect();
        store.mark_posts_read(&shown)?;
        Ok(())
    }
}

fn real_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn story(dir: &Path) -> Result<Vec<Person>> {
    const ANA: usize = 0;
    const BEN: usize = 1;
    const CLEO: usize = 2;
    const DOV: usize = 3;
    const EVE: usize = 4;
    Story::at(60, 0);
    let mut people = vec![found(dir, "Ana")?];
    for name in ["Ben", "Cleo", "Dov"] {
        let person = people[ANA].admit(dir, name)?;
        people.push(person);
    }
    for (person, [name, held, experience, about]) in people.iter().zip(PEOPLE) {
        let profile = Profile {
            name: name.into(),
            posts_held: Some(held.into()),
            experience: Some(experience.into()),
            ask_about: Some(about.into()),
            reach: None,
        };
        let me = person.store.own_member()?.ok_or("no member")?;
        let before: Vec<EntryId> =
            person.store.profile_entries(&me)?.iter().map(|entry| entry.id).collect();
        person.write(vec![NewEntry::new(Body::Profile(profile), before)])?;
    }
    let tell = Story { people: &people };
    tell.exchange()?;

    Story::at(45, 0);
    let zombies = tell.ask(
        CLEO,
        "How do you explain zombies to a first-year class?",
        "Half of them laugh, the other half think it is settled. I have ninety minutes.",
        &["teaching", "consciousness"],
        None,
    )?;
    Story::at(44, 3);
    let walk =
        tell.post(ANA, &[zombies], "Let them vote first, then read Chalmers, then vote again.")?;
    tell.post(
        BEN,
        &[zombies],
        "Ask what test would tell one apart. Most will notice that there is none.",
    )?;
    Story::at(40, 0);
    tell.write(CLEO, Body::Mark(Mark::Answer(true)), &[zombies, walk])?;
    tell.write(CLEO, Body::Mark(Mark::State(ThreadState::Answered)), &[zombies, zombies])?;
    tell.write(
        DOV,
        Body::Tend(Tend { topic: "probability".into(), until: real_now() + 120 * DAY }),
        &[],
    )?;
    tell.write(
        BEN,
        Body::Tend(Tend { topic: "computability".into(), until: real_now() - 2 * DAY }),
        &[],
    )?;

    Story::at(30, 0);
    let born = tell.ask(
        BEN,
        "Where does the Born rule come from if all branches exist?",
        "I can follow the formalism. What I miss is why squared amplitudes should be what I bet on.",
        &["many-worlds", "probability"],
        None,
    )?;
    Story::at(29, 0);
    tell.post(
        DOV,
        &[born],
        "Look at decision theory: Deutsch derives it from rational preferences alone.",
    )?;
    Story::at(28, 0);
    let how = tell.post(
        ANA,
        &[born],
        "And at Gleason's theorem. Over dimension two there is no other measure.",
    )?;
    tell.post(BEN, &[born, how], "Gleason I had forgotten, thank you.")?;

    Story::at(21, 0);
    let doomsday = tell.ask(
        DOV,
        "Has anybody taught the doomsday argument with real data?",
        "I look for a data set in which self-sampling goes wrong in a way one can see.",
        &["anthropic", "teaching"],
        Some(-6),
    )?;
    Story::at(20, 0);
    tell.post(CLEO, &[doomsday], "German tank numbers work well, they go right. Use that first.")?;

    Story::at(12, 0);
    let halting = tell.ask(
        ANA,
        "Is there a short proof of the halting problem for a teacher of physics?",
        "Without codings if possible. Ten minutes on a blackboard.",
        &["computability", "teaching"],
        None,
    )?;
    Story::at(11, 0);
    let proof = tell.post(
        BEN,
        &[halting],
        "Write a program that asks about itself and does the opposite. Three lines.",
    )?;
    Story::at(9, 0);
    tell.write(ANA, Body::Mark(Mark::Answer(true)), &[halting, proof])?;
    let told = Post {
        role: PostRole::Outcome,
        text: "Did it with Ben's three lines. Seven minutes, two good questions. The drawing of the program \
               that reads its own text helped more than any words."
            .into(),
        origin: None,
        met: None,
    };
    tell.write(ANA, Body::Post(told), &[halting, proof])?;
    tell.write(ANA, Body::Mark(Mark::State(ThreadState::Closed)), &[halting, halting])?;

    Story::at(4, 0);
    let eve = people[ANA].admit(dir, "Eve")?;
    people.push(eve);
    let tell = Story { people: &people };
    tell.exchange()?;
    Story::at(3, 0);
    let suicide = tell.ask(
        EVE,
        "What is wrong with the quantum suicide argument?",
        "I have to give a talk on it and I find the replies in old discussions contradictory. @Dov, I was told \
         that you know about self-sampling.",
        &["many-worlds", "probability"],
        Some(1),
    )?;
    Story::at(2, 12);
    let measure = tell.post(
        CLEO,
        &[suicide],
        "Nothing is wrong with it if you do not mind that all others mourn.",
    )?;
    tell.write(CLEO, Body::Mark(Mark::State(ThreadState::Working)), &[suicide, suicide])?;
    Story::at(2, 0);
    tell.ask(
        EVE,
        "Do Turing machines need time to exist?",
        "If the plenitude is all programs, what runs them?",
        &["computability"],
        Some(5),
    )?;
    Story::at(1, 6);
    tell.ask(
        BEN,
        "Who reads a draft on algorithmic priors?",
        "Twelve pages. I need somebody who is not convinced.",
        &[],
        Some(3),
    )?;
    Story::at(1, 0);
    tell.post(
        ANA,
        &[suicide, measure],
        "I disagree with Cleo: the measure of what you care about falls.",
    )?;
    tell.post(ANA, &[doomsday], "@Dov did you find one? I could use it in May.")?;
    Story::at(0, 5);
    tell.post(EVE, &[zombies], "I was in that class, and I changed my vote.")?;
    people[EVE].note("Reading group on Thursday", "We meet at seven in the library, upstairs.")?;
    tell.exchange()?;

    for thread in [zombies, born, doomsday, halting] {
        tell.reads(ANA, thread)?;
    }
    tell.reads(BEN, born)?;
    tell.reads(BEN, halting)?;
    tell.reads(DOV, doomsday)?;
    people[DOV].store.follow_topic("teaching")?;
    people[EVE].store.follow_topic("many-worlds")?;
    people[EVE].store.set_watch(&halting, Watch::Watched)?;
    people[ANA].store.set_watch(&suicide, Watch::Muted)?;
    people[BEN].store.snooze(&suicide, Some(now() + 2 * DAY))?;
    Ok(people)
}
