//! The simulator itself: the same run twice, and failures that are found.

use super::*;

const SMALL: &str = r#"
title = "three and a forker"
outcome = "Both branches are everywhere."
seconds = 150
nodes = [
  { name = "ana" },
  { name = "bo", clock = "1970" },
  { name = "cleo", clock = "maximum" },
  { name = "mal", hostile = "forker" },
]
timeline = [
  { at = 1, who = "ana", do = "post", as = "plan", text = "Who brings the tables?" },
  { at = 40, who = "mal", do = "turn" },
]
[expect]
members = ["ana", "bo", "cleo", "mal"]
forked = ["mal"]
reads = { plan = "Who brings the tables?" }
"#;

#[test]
fn a_seed_gives_the_same_run_twice() {
    let scenario = random(4711);
    let mut traces = [Vec::new(), Vec::new()];
    let reports = traces.each_mut().map(|t| run_traced(&scenario, 4711, &mut |line| t.push(line)));
    assert_eq!(reports[0], reports[1]);
    assert_eq!(traces[0], traces[1]);
    reports[0].as_ref().unwrap();
}

#[test]
fn a_small_one() {
    let report = run(&Scenario::parse(SMALL).unwrap(), 1).unwrap();
    assert_eq!(report.members, 3);
}

#[test]
fn what_does_not_hold_is_found_and_named() {
    let mut scenario = Scenario::parse(SMALL).unwrap();
    scenario.expect.reads.insert("plan".into(), "Who brings the chairs?".into());
    let failure = run(&scenario, 1).unwrap_err();
    assert!(failure.what.contains("tables"), "{failure}");
    assert_eq!(failure, run(&scenario, 1).unwrap_err());
}

#[test]
fn a_scenario_that_speaks_of_nobody_is_refused() {
    let wrong = |from: &str, to: &str| Scenario::parse(&SMALL.replace(from, to)).unwrap_err();
    assert!(matches!(wrong("who = \"ana\"", "who = \"zoe\""), ScenarioError::NoNode(_)));
    assert!(matches!(wrong("\"forker\"", "\"fork\""), ScenarioError::NoPlugIn(_)));
    assert!(matches!(wrong("name = \"bo\"", "name = \"ana\""), ScenarioError::Twice(_)));
    assert!(matches!(wrong("do = \"turn\"", "do = \"turns\""), ScenarioError::Form(_)));
    assert!(matches!(wrong("as = \"plan\"", "az = \"plan\""), ScenarioError::Form(_)));
}
