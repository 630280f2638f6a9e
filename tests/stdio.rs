//! `lanai sync --stdio`: real processes joined by pipes, with a test in the middle that counts the
//! bytes and may cut the line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use homes::{Home, until_equal};
use serde_json::Value;

/// What a cut may cost: a piece that came in part, and what was sealed with it. Some 30 kB were seen.
const TAIL: u64 = 80 * 1024;

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn carry(mut from: impl Read, mut to: impl Write, carried: &AtomicU64, cut: u64) {
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut piece) {
        let before = carried.fetch_add(n as u64, Ordering::SeqCst);
        let n = n.min(usize::try_from(cut.saturating_sub(before)).unwrap_or(n));
        if n == 0 || to.write_all(&piece[..n]).is_err() {
            return;
        }
    }
}

/// Joins two processes until both have ended or `cut` bytes have passed.
fn join(mut a: Child, mut b: Child, cut: u64) -> ([Output; 2], u64) {
    let carried = AtomicU64::new(0);
    let (a_in, a_out) = (a.stdin.take().unwrap(), a.stdout.take().unwrap());
    let (b_in, b_out) = (b.stdin.take().unwrap(), b.stdout.take().unwrap());
    let outputs = std::thread::scope(|scope| {
        scope.spawn(|| carry(a_out, b_in, &carried, cut));
        scope.spawn(|| carry(b_out, a_in, &carried, cut));
        [a, b]
            .map(|child| scope.spawn(move || child.wait_with_output().unwrap()))
            .map(|t| t.join().unwrap())
    });
    (outputs, carried.into_inner().min(cut))
}

fn sync(a: &Home, b: &Home, cut: u64) -> ([Output; 2], u64) {
    let [a, b] = [a, b].map(|h| start(&mut h.command(&["sync", "--stdio", "--json"])));
    join(a, b, cut)
}

/// The one line of JSON on standard error.
fn told(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().rfind(|l| l.starts_with('{')).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(line).unwrap()
}

fn must_sync(a: &Home, b: &Home) -> u64 {
    let (outputs, carried) = sync(a, b, u64::MAX);
    for output in &outputs {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}", output.status);
    }
    let [ours, theirs] = outputs.each_ref().map(told);
    assert_eq!(ours["received"], theirs["sent"], "{ours} {theirs}");
    assert_eq!(ours["bytes_out"], theirs["bytes_in"], "{ours} {theirs}");
    carried
}

/// Mails with texts that do not get smaller when they are packed.
fn mails(n: u32) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    (0..n)
        .map(|i| {
            let text: Vec<String> = (0..250).map(|_| word()).collect();
            let lines: Vec<String> = text.chunks(4).map(|l| l.join(" ")).collect();
            format!(
                "From ana@example.org Mon Jan  1 00:00:00 2024\nFrom: Ana <ana@example.org>\n\
                 Date: Mon, 01 Jan 2024 00:{:02}:{:02} +0000\nMessage-ID: <{i}@example.org>\n\
                 Subject: Letter {i}\n\n{}\n\n",
                i / 60,
                i % 60,
                lines.join("\n")
            )
        })
        .collect()
}

#[test]
fn two_homes_joined_by_pipes_are_in_step_with_and_without_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = ["ana", "ben"].map(|n| Home::new(dir.path(), n));
    ana.up();
    ben.must_join(&ana.ticket("1"), &ana);
    until_equal(&[&ana, &ben]);
    ben.stop();
    let thread = ana.text(&["ask", "Is the ford open?", "-m", "We come on Friday."], "id");
    must_sync(&ben, &ana);
    until_equal(&[&ana, &ben]);
    ana.stop();
    ben.run(&["reply", &thread, "-m", "Since noon."]);
    must_sync(&ana, &ben);
    assert_eq!(ana.post_texts(&thread), ["Since noon.", "We come on Friday."]);
    until_equal(&[&ana, &ben]);
    let idle = must_sync(&ana, &ben);
    assert!(idle < 1500, "{idle} bytes for nothing new");
}

#[test]
fn a_line_that_breaks_again_and_again_brings_all_and_repeats_little() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, cleo] = ["ana", "ben", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.up();
    let ticket = ana.ticket("2");
    for home in [&ben, &cleo] {
        home.must_join(&ticket, &ana);
        until_equal(&[&ana, home]);
        home.stop();
    }
    ana.stop();
    must_sync(&ana, &ben);
    let file = dir.path().join("letters.mbox");
    std::fs::write(&file, mails(400)).unwrap();
    ana.run(&["import", "mbox", file.to_str().unwrap()]);

    let whole = must_sync(&ana, &cleo);
    let (mut carried, mut cuts) = (0, 0);
    loop {
        // No two cuts at the same byte of what is left.
        let cut = whole / 3 + 7919 * cuts;
        let (outputs, bytes) = sync(&ana, &ben, cut);
        carried += bytes;
        if outputs.iter().all(|o| o.status.success()) {
            break;
        }
        for output in outputs.iter().filter(|o| !o.status.success()) {
            assert_eq!(output.status.code(), Some(7), "{}", told(output));
            assert_eq!(told(output)["error"]["code"], "link-ended", "{}", told(output));
        }
        cuts += 1;
        assert!(cuts < 12, "{carried} bytes carried of {whole}, and not done");
    }
    eprintln!("{whole} bytes whole, {carried} with {cuts} cuts");
    assert!(cuts >= 2, "{cuts}");
    assert!(carried < whole + cuts * TAIL, "{carried} of {whole} with {cuts} cuts");
    until_equal(&[&ana, &ben]);
}

#[test]
fn a_stranger_and_a_line_that_is_no_lanai_get_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, zoe] = ["ana", "zoe"].map(|n| Home::new(dir.path(), n));
    for home in [&ana, &zoe] {
        home.up();
        home.stop();
    }
    ana.run(&["ask", "A private matter", "-m", "Only for members."]);
    let (outputs, carried) = sync(&ana, &zoe, u64::MAX);
    for output in &outputs {
        assert_eq!(output.status.code(), Some(6), "{}", told(output));
    }
    assert!(carried < 1000, "{carried} bytes for a stranger");

    let banner = start(Command::new("echo").arg("Welcome to the camp"));
    let (outputs, _) =
        join(start(&mut ana.command(&["sync", "--stdio", "--json"])), banner, u64::MAX);
    assert_eq!(told(&outputs[0])["error"]["code"], "not-lanai");
    let mut alone = start(&mut ana.command(&["sync", "--stdio", "--json", "--wait", "1s"]));
    let _open = alone.stdin.take();
    assert_eq!(told(&alone.wait_with_output().unwrap())["error"]["code"], "silent");
}
