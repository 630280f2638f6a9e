//! What a person meets who opens a large store: starting the node, an idle node, and commands as new
//! processes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lanai_node::store::ThreadFilter;

use super::posts::words;
use crate::support::{Node, Person, Result};

/// How long a node may take to come to rest: a million posts may be left to merge in the index.
pub(crate) const REST: Duration = Duration::from_secs(600);
/// Runs of each command.
const RUNS: usize = 20;

/// Prints how long the node of `person` takes until it answers, and what it takes while nothing happens.
pub(crate) fn start_and_idle(person: &Person, idle: Duration) -> Result<()> {
    let start = Instant::now();
    let node = Node::start_without_waiting(&person.home, &[])?;
    while node.status().is_err() {
        if start.elapsed() > Duration::from_secs(120) {
            return Err("the node does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("node, from its start to an answer:     {:8.1?}", start.elapsed());
    // What a start leaves to do is not idleness.
    std::thread::sleep(Duration::from_secs(2));
    node.rest(REST)?;
    if let (Some(before), Some(mib)) = (node.cpu(), node.resident_mib()) {
        let start = Instant::now();
        std::thread::sleep(idle);
        let used = node.cpu().unwrap_or(before).saturating_sub(before);
        let share = 100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64();
        println!("  idle, resident memory:               {mib:8.0} MiB");
        println!("  idle, processor over {idle:3.0?}:           {share:8.2} %");
    }
    node.stop()
}

/// Prints how long commands take as new processes on the home of `person`, warm.
pub(crate) fn commands(person: &Person) -> Result<()> {
    let Some(program) = program() else {
        println!("commands: not measured, `lanai` is not built beside this example");
        return Ok(());
    };
    let filter = ThreadFilter { limit: RUNS, ..ThreadFilter::default() };
    let roots: Vec<String> = person.store.threads(&filter)?.iter().map(|t| t.root.full()).collect();
    let words = words();
    let searches: Vec<&str> = words.iter().step_by(4).copied().collect();
    let one = |args: &[&str]| -> Result<Duration> {
        let start = Instant::now();
        let status = Command::new(&program)
            .arg("--home")
            .arg(person.home.root())
            .arg("--no-pager")
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        match status.success() {
            true => Ok(start.elapsed()),
            false => Err(format!("lanai {args:?}: {status}").into()),
        }
    };
    let mut kinds: Vec<(&str, Vec<Vec<&str>>)> = vec![
        ("threads", vec![vec!["threads"]; RUNS]),
        ("read", roots.iter().map(|root| vec!["read", root.as_str()]).collect()),
        ("search", searches.iter().map(|word| vec!["search", *word]).collect()),
        ("status", vec![vec!["status"]; RUNS]),
        ("inbox", vec![vec!["inbox"]; RUNS]),
    ];
    for (name, runs) in &mut kinds {
        let mut times = runs.iter().map(|args| one(args)).collect::<Result<Vec<_>>>()?;
        times.sort();
        let at = |share: f64| {
            let place = (times.len() as f64 * share) as usize;
            times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        println!(
            "lanai {name:8} as a new process, of {:3}: median {:.1?}, p99 {:.1?}",
            times.len(),
            at(0.5),
            at(0.99)
        );
    }
    Ok(())
}

/// The program that was built beside this example.
fn program() -> Option<PathBuf> {
    let target = std::env::current_exe().ok()?.parent()?.parent()?.join("lanai");
    target.exists().then_some(target)
}
