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

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

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

/// A line between two processes: so fast, so far, and with so many of 1,000 frames lost, by a seed.
#[derive(Clone, Copy)]
struct Line {
    bits_per_s: u64,
    delay: Duration,
    lost: u64,
    seed: u64,
    /// Bytes of both directions after which it breaks.
    cut: u64,
}

impl Line {
    /// 1,200 bit/s and 2 s with the variable `LANAI_LINE=full` set; otherwise as much faster as a test
    /// that everybody runs has to be.
    fn new(seed: u64) -> Line {
        let full = is_full();
        Line {
            bits_per_s: if full { 1200 } else { 48_000 },
            delay: Duration::from_millis(if full { 2000 } else { 50 }),
            lost: 50,
            seed,
            cut: u64::MAX,
        }
    }

    /// Carries one direction, frame by frame. A frame is what stands between two zero bytes.
    fn carry(self, from: impl Read, mut to: impl Write + Send, carried: &AtomicU64) {
        let (put, get) = sync_channel::<(Instant, Vec<u8>)>(10_000);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (due, frame) in get {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if to.write_all(&frame).and_then(|()| to.flush()).is_err() {
                        return;
                    }
                }
            });
            let mut from = BufReader::new(from);
            let (mut state, mut busy) = (self.seed, Instant::now());
            let mut frame = Vec::new();
            while let Ok(n @ 1..) = from.read_until(0, &mut frame) {
                if frame == [0] {
                    // The first zero of a frame; the next one ends it.
                    continue;
                }
                let frame = std::mem::take(&mut frame);
                let sent = carried.fetch_add(frame.len() as u64, Ordering::SeqCst);
                if sent > self.cut {
                    return;
                }
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let takes = frame.len() as u64 * 8_000_000 / self.bits_per_s;
                busy = busy.max(Instant::now()) + Duration::from_micros(takes);
                let is_lost = state % 1000 < self.lost;
                if n > 0 && !is_lost && put.send((busy + self.delay, frame)).is_err() {
                    return;
                }
            }
            // The other thread ends when nothing can come any more.
            drop(put);
        });
    }

    /// Both ends, until both have ended; when the first end said that the session is open.
    fn join(self, mut a: Child, mut b: Child) -> ([Output; 2], u64, Option<Instant>) {
        let carried = AtomicU64::new(0);
        let (a_in, a_out) = (a.stdin.take().unwrap(), a.stdout.take().unwrap());
        let (b_in, b_out) = (b.stdin.take().unwrap(), b.stdout.take().unwrap());
        let a_err = a.stderr.take().unwrap();
        let other = Line { seed: !self.seed, ..self };
        let (mut outputs, open) = std::thread::scope(|scope| {
            scope.spawn(|| self.carry(a_out, b_in, &carried));
            scope.spawn(|| other.carry(b_out, a_in, &carried));
            let listener = scope.spawn(move || {
                let (mut text, mut open) = (String::new(), None);
                for line in BufReader::new(a_err).lines().map_while(Result::ok) {
                    if line.contains("is there; comparing") {
                        open = Some(Instant::now());
                    }
                    text.push_str(&line);
                    text.push('\n');
                }
                (text, open)
            });
            let outputs = [a, b]
                .map(|child| scope.spawn(move || child.wait_with_output().unwrap()))
                .map(|t| t.join().unwrap());
            let (text, open) = listener.join().unwrap();
            let [mut a, b] = outputs;
            a.stderr = text.into_bytes();
            ([a, b], open)
        });
        let carried = carried.into_inner();
        outputs.iter_mut().for_each(|o| o.stdout.clear());
        (outputs, carried, open)
    }

    /// One run with the profile `thin`. The second end is not told: it finds out.
    fn sync(self, a: &Home, b: &Home) -> ([Output; 2], u64, Option<Instant>) {
        let thin = a.command(&["sync", "--stdio", "--json", "--verbose", "--profile", "thin"]);
        let plain = b.command(&["sync", "--stdio", "--json"]);
        let [a, b] = [thin, plain].map(|mut command| start(&mut command));
        self.join(a, b)
    }
}

fn is_full() -> bool {
    std::env::var_os("LANAI_LINE").is_some_and(|v| v == "full")
}

/// Two members who hold the same, but for 20 posts that the second one lacks; and the thread.
fn camp(dir: &std::path::Path) -> (Home, Home, String) {
    let [ana, ben] = ["ana", "ben"].map(|n| Home::new(dir, n));
    ana.up();
    ben.must_join(&ana.ticket("1"), &ana);
    until_equal(&[&ana, &ben]);
    ben.stop();
    ana.stop();
    let thread = ana.text(&["ask", "Who was at the ford?", "-m", "Since the rain."], "id");
    must_sync(&ana, &ben);
    for n in 0..20 {
        let text = format!(
            "Report {n}: the ford was open at {}:{:02}, trucks went one at a time, and the second bend \
             below the mill is washed out; {} people came by the school.",
            6 + n / 2,
            (n * 37) % 60,
            n * n % 91
        );
        ana.run(&["reply", &thread, "-m", &text]);
    }
    (ana, ben, thread)
}

#[test]
fn a_thin_line_brings_twenty_posts_to_an_end_that_was_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let (ana, ben, thread) = camp(dir.path());
    let begun = Instant::now();
    let (outputs, carried, open) = Line::new(7).sync(&ana, &ben);
    let open = open.expect("the session was said to be open");
    for output in &outputs {
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}", output.status);
        let told = told(output);
        assert_eq!(told["profile"], "thin", "{told}");
        assert_eq!(told["repeated"], 0, "{told}");
    }
    let (took, meeting) = (open.elapsed(), open - begun);
    let [ours, theirs] = outputs.each_ref().map(told);
    eprintln!("{carried} bytes on the line, {meeting:?} to meet, then {took:?}\n{ours}\n{theirs}");
    assert_eq!(theirs["received"], 20, "{theirs}");
    assert_eq!(ben.post_texts(&thread).len(), 21);
    assert_eq!(ana.state_hash(), ben.state_hash());
    let idle = Line::new(8).sync(&ana, &ben);
    assert!(idle.0.iter().all(|o| o.status.success()));
    eprintln!("{} bytes for nothing new", idle.1);
}

#[test]
fn a_thin_line_that_is_cut_ten_times_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (ana, ben, thread) = camp(dir.path());
    let (mut cuts, mut received, mut bytes) = (0, 0, 0);
    loop {
        let cut = if cuts < 10 { 2400 + 211 * (cuts % 4) } else { u64::MAX };
        let (outputs, carried, _) = Line { cut, ..Line::new(100 + cuts) }.sync(&ana, &ben);
        bytes += carried;
        let [_, theirs] = outputs.each_ref().map(told);
        received += theirs["received"].as_u64().unwrap_or(0);
        if outputs.iter().all(|o| o.status.success()) {
            break;
        }
        for output in outputs.iter().filter(|o| !o.status.success()) {
            assert_eq!(output.status.code(), Some(7), "{}", told(output));
        }
        let message = theirs["error"]["message"].as_str().unwrap_or_default().to_owned();
        let kept = message.split('(').nth(1).and_then(|m| m.split(' ').next());
        received += kept.map_or(0, |n| n.parse::<u64>().unwrap());
        cuts += 1;
        assert!(cuts < 14, "not done after {cuts} cuts");
    }
    eprintln!("{cuts} cuts, {bytes} bytes on the line");
    assert!(cuts >= 5, "{cuts}");
    assert_eq!(received, 20, "nothing came twice");
    assert_eq!(ben.post_texts(&thread).len(), 21);
    assert_eq!(ana.state_hash(), ben.state_hash());
}
