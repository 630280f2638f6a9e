//! The runner itself: that it reads, that what is wrong fails, and that writing keeps what was meant.

use crate::markdown::{Action, steps};
use crate::run;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn commands_of_several_lines_are_one_step() {
    let text = lines(concat!(
        "prose\n```console\n(found: ana, The Porch)\n",
        "ana$ lanai ask \"one\n two's\" -m 'x\"'\nout\n\n",
        "ben$ lanai page edit k <<'END'\n  ana$ not a command\n\nEND\nmore\n\nand more\n\n",
        "ben$ a \\\n  b\n```\n```sh\nana$ ignored\n```\n"
    ));
    let steps = steps(&text).unwrap();
    let scripts: Vec<(&str, &[String])> = steps
        .iter()
        .map(|s| match &s.action {
            Action::Run { script, .. } => (script.as_str(), &text[s.expected.clone()]),
            _ => ("", &text[s.expected.clone()]),
        })
        .collect();
    assert_eq!(scripts.len(), 4);
    assert_eq!(scripts[1].0, "lanai ask \"one\n two's\" -m 'x\"'");
    assert_eq!(scripts[1].1, ["out"]);
    assert_eq!(scripts[2].0, "lanai page edit k <<'END'\n  ana$ not a command\n\nEND");
    assert_eq!(scripts[2].1, ["more", "", "and more"]);
    assert_eq!(scripts[3].0, "a \\\n  b");
    assert!(scripts[3].1.is_empty());
}

#[test]
fn a_document_that_makes_no_sense_is_refused_with_the_line() {
    for (text, line) in [
        ("```console\nana$ x\n", "line 1"),
        ("```console\noutput\n```\n", "line 2"),
        ("```console\nana$ x 'y\n```\n", "line 2"),
        ("```console\nana$ x <<END\ny\n```\n", "line 2"),
        ("\n```console\n(join: ana)\n```\n", "line 3"),
        ("\n```console\n(sync: )\n```\n", "line 3"),
    ] {
        let error = steps(&lines(text)).unwrap_err();
        assert!(error.starts_with(line), "{text}: {error}");
    }
}

fn differences(text: &str) -> Vec<String> {
    run("doc.md", text).differences
}

#[test]
fn what_matches_passes_and_wildcards_stand_for_what_they_should() {
    let text = "```console\n\
        ana$ printf 'one\\ntwo [x] 3 min ago\\nthree\\nfour\\n'\none\ntwo [x] [..] ago\n...\n\n\
        ana$ printf 'one\\n\\nfour\\n\\n'; exit 3\n...\none\n\nfour\n...\n? 3\n\n\
        ana$ echo asked k3f9-7xmp; echo 'see [[k3f9-7xmp]] p7xm-0000'\n\
        asked [ID:ask]\nsee [[ID:ask]] [ID:post]\n\n\
        ana$ echo \"$ask $post\"\nk3f9-7xmp [ID:post]\n```\n";
    assert_eq!(differences(text), Vec::<String>::new());
}

#[test]
fn what_differs_fails_with_its_line_and_both_texts() {
    let cases = [
        (
            "ana$ printf 'one\\ntwo\\n'\none\nTWO",
            "    one\n".replace("    ", "      ") + "    - TWO\n    + two\n",
        ),
        ("ana$ echo one", "    + one\n".into()),
        ("ana$ true\none", "    - one\n".into()),
        ("ana$ printf 'one\\ntwo\\n'\none", "    + two\n".into()),
        ("ana$ false", "    + ? 1\n".into()),
        ("ana$ true\n? 1", "    - ? 1\n".into()),
        ("ana$ echo \"$unheard\"\n", "unheard".into()),
        ("ana$ printf 'a b\\n'\nb[..]", "    - b[..]\n".into()),
        ("ana$ printf 'a-b\\n'\n[ID:x]", "    - [ID:x]\n".into()),
        ("ana$ printf 'aaaa-0000 bbbb-1111\\n'\n[ID:x] [ID:x]", "    - [ID:x] [ID:x]\n".into()),
        (
            "ana$ printf 'aaaa-0000\\nbbbb-1111\\n'\n[ID:x]\n[ID:x]",
            "    - [ID:x]\n    + bbbb-1111\n".into(),
        ),
        ("ana$ printf 'a\\nb\\n'\n...\na", "    + b\n".into()),
        ("ana$ lanai thread-that-is-no-command\n...", String::new()),
    ];
    for (block, shown) in cases {
        let found = differences(&format!("prose\n\n```console\nana$ true\n{block}\n```\n"));
        assert_eq!(found.len(), usize::from(!shown.is_empty()), "{block}: {found:?}");
        let all = found.concat();
        assert!(all.contains(&shown), "{block}:\n{all}");
        assert!(shown.is_empty() || all.starts_with("doc.md:5: ana$ "), "{all}");
    }
}

#[test]
fn the_real_program_runs_on_a_terminal_in_the_home_of_who_gives_the_command() {
    let text = "```console\n(found: ana, The Porch)\n\
        ana$ lanai ask \"Who has crossed the ford?\" -m \"We go on Friday.\"\n\
        ...\n[ID:ask]\n...\n\n\
        ana$ lanai read $ask\nWho has crossed the ford?\n...\n  [ID:ask]  Ana (you), [..]\n...\n\n\
        ben$ lanai read $ask\n...\n? [..]\n```\n";
    assert_eq!(differences(text), Vec::<String>::new());
    let wrong = text.replace("Ana (you)", "Ben (you)");
    assert_eq!(differences(&wrong).len(), 1);
}

#[test]
fn writing_takes_over_what_came_and_keeps_what_still_matches() {
    let text = "prose\n```console\n\
        ana$ printf 'one\\ntwo at 12:05\\nk3f9-7xmp\\nfive\\nsix\\n'\nold\ntwo at [..]\n[ID:ask]\n...\nsix\nseven\n\n\
        ana$ echo '  [[k3f9-7xmp]], k3f9-7xmp, just now, p7xm-0000, been-here'\n\nana$ echo gone >/dev/null\ngone\n```\nend\n";
    let written = "prose\n```console\n\
        ana$ printf 'one\\ntwo at 12:05\\nk3f9-7xmp\\nfive\\nsix\\n'\none\ntwo at [..]\n[ID:ask]\n...\nsix\n\n\
        ana$ echo '  [[k3f9-7xmp]], k3f9-7xmp, just now, p7xm-0000, been-here'\n  [[ID:ask]], [ID:ask], [..], [..], been-here\n\nana$ echo gone >/dev/null\n```\nend\n";
    let outcome = run("doc.md", text);
    assert_eq!(outcome.rewritten, written);
    assert_eq!(outcome.differences.len(), 3);
    let again = run("doc.md", written);
    assert_eq!(again.rewritten, written);
    assert_eq!(again.differences, Vec::<String>::new());
}
