//! Several real nodes as processes on this machine, talking over loopback with typed addresses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that goes wrong should say so and stop"
)]

mod homes;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use homes::{Home, connect, until, until_equal};
use serde_json::Value;

fn fixture() -> String {
    format!("{}/../node/tests/fixtures/oddities.mbox", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn join_through_any_member_then_split_and_merge() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, cleo] = ["ana", "ben", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.up();
    ana.run(&["import", "mbox", &fixture()]);
    let ticket = ana.ticket("2");

    ben.must_join(&ticket, &ana);
    until_equal(&[&ana, &ben]);

    // Ana's node is away: Cleo is admitted by Ben, and gets all from him.
    ana.stop();
    cleo.must_join(&ticket, &ben);
    until_equal(&[&ben, &cleo]);
    assert_eq!(ana.json(&["status"])["posts"], cleo.json(&["status"])["posts"]);

    ana.up();
    connect(&ana, &ben);
    connect(&ana, &cleo);
    until_equal(&[&ana, &ben, &cleo]);
    let thread =
        ana.text(&["ask", "Who has crossed the ford at night?", "-m", "We go Friday."], "id");
    until_equal(&[&ana, &ben, &cleo]);

    // Cut off: nobody's node runs, everybody writes.
    for home in [&ana, &ben, &cleo] {
        home.stop();
    }
    for home in [&ana, &ben, &cleo] {
        let said = format!("{} writes alone", home.name);
        let reply = home.text(&["reply", &thread, "-m", &said], "id");
        home.run(&["edit", &reply, "-m", &format!("{} wrote alone, and mended it", home.name)]);
        home.run(&["react", &thread, "been-there"]);
    }
    assert_ne!(ana.state_hash(), ben.state_hash());

    for home in [&ana, &ben, &cleo] {
        home.up();
    }
    connect(&ana, &ben);
    connect(&cleo, &ben);
    until_equal(&[&ana, &ben, &cleo]);
    let texts = ana.post_texts(&thread);
    for home in [&ana, &ben, &cleo] {
        assert_eq!(home.post_texts(&thread), texts);
        assert!(texts.contains(&format!("{} wrote alone, and mended it", home.name)), "{texts:?}");
    }
}

#[test]
fn a_member_shows_its_admission_to_one_who_was_away() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, cleo] = ["ana", "ben", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.up();
    let ticket = ana.ticket("2");
    ben.must_join(&ticket, &ana);
    until_equal(&[&ana, &ben]);
    ana.stop();
    cleo.must_join(&ticket, &ben);
    until_equal(&[&ben, &cleo]);
    ben.stop();

    // Ana has never heard of Cleo, and Ben, who could tell, is away.
    let thread = cleo.text(&["ask", "Do you know me?", "-m", "Ben let me in."], "id");
    ana.up();
    let address = ana.address();
    cleo.run(&["sync", "--peer", &address, "--wait", "50s"]);
    until_equal(&[&ana, &cleo]);
    assert_eq!(ana.post_texts(&thread), ["Ben let me in."]);
}

#[test]
fn a_stranger_learns_nothing_and_bad_tickets_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben, cleo] = ["ana", "ben", "cleo"].map(|n| Home::new(dir.path(), n));
    ana.run(&[
        "up",
        "--no-mdns",
        "--no-beacon",
        "--listen",
        "127.0.0.1",
        "--name",
        "Ana",
        "--community",
        "Secret Porch",
    ]);
    ana.run(&["ask", "A private matter", "-m", "Only for members."]);
    let community = ana.json(&["status"])["community"]["id"].as_str().unwrap().to_owned();

    let stranger =
        Path::new(env!("CARGO_BIN_EXE_lanai")).parent().unwrap().join("examples/stranger");
    if !stranger.exists() {
        panic!("the example `stranger` is not built: run `cargo build --examples` first");
    }
    let out = Command::new(stranger)
        .args(["--seconds", "5", "--dial", &ana.address(), "--topic", &community])
        .args(["--topic", "lanai", "--topic", "Secret Porch"])
        .output()
        .unwrap();
    let learned: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(learned["connected"].as_array().unwrap().len(), 1, "{learned}");
    assert_eq!(learned["gossip_messages"], 0, "{learned}");
    assert_eq!(learned["subscriptions_seen"], 0, "{learned}");
    let opened: Vec<&str> =
        learned["opened"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(!opened.iter().any(|p| p.contains("sync")), "{learned}");
    let protocols = learned["protocols"].to_string();
    assert!(!protocols.contains("meshsub") && !protocols.contains("sync"), "{learned}");
    let all = learned.to_string().to_lowercase();
    for secret in ["secret porch", "ana", "private matter", &community] {
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!all.contains(&hex), "{secret} in {learned}");
        assert!(secret == "ana" || !all.contains(secret), "{secret} in {learned}");
    }

    let once = ana.ticket("1");
    ben.must_join(&once, &ana);
    let refused = cleo.join(&once, &ana);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(why.contains("used"), "{why}");

    let made = ana.json(&["invite", "--uses", "1", "--no-addresses"]);
    ana.run(&["ticket", "close", made["id"].as_str().unwrap()]);
    let refused = cleo.join(made["ticket"].as_str().unwrap(), &ana);
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(why.contains("closed"), "{why}");
}

#[test]
fn a_second_node_on_one_home_says_who_holds_it_and_a_stop_is_quick() {
    let dir = tempfile::tempdir().unwrap();
    let ana = Home::new(dir.path(), "ana");
    ana.up();
    let second = ana.try_run(&["node", "run", "--no-mdns", "--no-beacon", "--listen", "127.0.0.1"]);
    assert_eq!(second.status.code(), Some(1));
    let why = String::from_utf8_lossy(&second.stderr);
    let pid = ana.json(&["status"])["node"]["pid"].to_string();
    let address = ana.address();
    assert!(why.contains(&format!("process {pid}")), "{why}");
    // Its own ports answer, and so it is found to be reachable.
    let doctor = ana.try_run(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(10), "mDNS is off: {said}");
    assert!(said.contains("2 of 2 addresses answer") && said.contains("switched off"), "{said}");
    let start = Instant::now();
    ana.stop();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(ana.try_run(&["sync"]).status.code(), Some(5));

    // It comes back where others know it, and syncs with nobody, which it says.
    ana.up();
    assert_eq!(ana.address(), address);
    let alone = ana.try_run(&["sync"]);
    assert_eq!(alone.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("lanai invite"));
}

#[test]
fn copied_and_restored_homes_write_without_losing_a_post() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = ["ana", "ben"].map(|n| Home::new(dir.path(), n));
    ben.up();
    let ticket = ben.ticket("1");
    ana.must_join(&ticket, &ben);
    until_equal(&[&ana, &ben]);
    let thread = ana.text(&["ask", "Before the copy", "-m", "one"], "id");
    connect(&ana, &ben);
    until_equal(&[&ana, &ben]);
    ana.stop();
    let backup = dir.path().join("backup.db");
    ana.run(&["store", "backup", backup.to_str().unwrap()]);
    ana.run(&["reply", &thread, "-m", "after the backup"]);

    let copy = Home::new(dir.path(), "copy");
    let copied = Command::new("cp").arg("-a").args([&ana.root, &copy.root]).status().unwrap();
    assert!(copied.success());

    // One after another: the copy writes and syncs, then the original.
    copy.run(&["reply", &thread, "-m", "from the copy"]);
    copy.up();
    connect(&copy, &ben);
    until_equal(&[&copy, &ben]);
    copy.stop();
    ana.run(&["reply", &thread, "-m", "from the original"]);
    ana.up();
    connect(&ana, &ben);
    until_equal(&[&ana, &ben]);
    ana.stop();

    // At once: all write while apart; then the original goes back to its backup and writes again.
    copy.run(&["reply", &thread, "-m", "copy again"]);
    ana.run(&["store", "restore", backup.to_str().unwrap(), "--yes"]);
    ana.run(&["reply", &thread, "-m", "from the restored store"]);
    for home in [&ana, &copy] {
        home.up();
        connect(home, &ben);
    }
    until("all posts everywhere", || {
        let texts = ben.post_texts(&thread);
        [
            "one",
            "after the backup",
            "from the copy",
            "from the original",
            "copy again",
            "from the restored store",
        ]
        .iter()
        .all(|t| texts.contains(&(*t).to_owned()))
    });
    until_equal(&[&ana, &ben]);
    until_equal(&[&copy, &ben]);
    for home in [&ana, &ben, &copy] {
        home.run(&["store", "check"]);
    }
}

#[test]
fn a_lost_laptop_is_no_lost_person() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = ["ana", "ben"].map(|n| Home::new(dir.path(), n));
    ana.up();
    let thread = ana.text(&["ask", "Kept?", "-m", "by all"], "id");
    ben.must_join(&ana.ticket("1"), &ana);
    until_equal(&[&ana, &ben]);
    ben.run(&["reply", &thread, "-m", "before"]);
    connect(&ben, &ana);
    let (file, secret) = (dir.path().join("ben.id"), dir.path().join("passphrase"));
    std::fs::write(&secret, "correct horse\n").unwrap();
    let [file, secret] = [&file, &secret].map(|p| p.to_str().unwrap());
    ben.run(&["identity", "export", file, "--passphrase-file", secret]);
    let member = ben.json(&["status"])["me"]["member"].clone();
    ben.stop();
    std::fs::remove_dir_all(&ben.root).unwrap();

    // Nothing but the file is left, and the network.
    ben.run(&["identity", "import", file, "--passphrase-file", secret]);
    ben.up();
    until_equal(&[&ana, &ben]);
    assert_eq!(ben.json(&["status"])["me"]["member"], member);
    ben.run(&["reply", &thread, "-m", "after"]);
    until_equal(&[&ana, &ben]);
    assert_eq!(ana.post_texts(&thread), ["after", "before", "by all"]);
    ben.run(&["store", "check"]);
}

#[test]
fn a_community_of_one_makes_room_and_one_with_posts_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let [ana, ben] = ["ana", "ben"].map(|n| Home::new(dir.path(), n));
    ana.up();
    ben.up();
    let alone = ben.json(&["status"])["community"]["id"].clone();
    let ticket = ana.ticket("2");

    // Refused: everything is as it was, the node too.
    let used = ana.json(&["invite", "--uses", "1", "--no-addresses"]);
    ana.run(&["ticket", "close", used["id"].as_str().unwrap()]);
    let refused = ben.join(used["ticket"].as_str().unwrap(), &ana);
    assert_eq!(refused.status.code(), Some(6), "{}", String::from_utf8_lossy(&refused.stderr));
    let status = ben.json(&["status"]);
    assert_eq!(status["community"]["id"], alone);
    assert!(status["node"]["pid"].is_u64() && status["joining"].is_null(), "{status}");

    ben.must_join(&ticket, &ana);
    until_equal(&[&ana, &ben]);
    assert_ne!(ben.json(&["status"])["community"]["id"], alone);

    let again = ana.join(&ticket, &ben);
    assert!(again.status.success(), "a member who joins again is told so");
    let cleo = Home::new(dir.path(), "cleo");
    cleo.run(&["init", "--name", "cleo"]);
    cleo.run(&["ask", "Mine", "-m", "stays"]);
    let kept = cleo.join(&ticket, &ana);
    assert_eq!(kept.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("--home"));
    assert_eq!(cleo.json(&["status"])["posts"], 1);
}

#[test]
fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let kills: u32 =
        std::env::var("LANAI_TEST_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(6);
    let dir = tempfile::tempdir().unwrap();
    let mbox = dir.path().join("many.mbox");
    std::fs::write(&mbox, many_mails(3_000)).unwrap();
    let [ana, ben] = ["ana", "ben"].map(|n| Home::new(dir.path(), n));
    ana.up();
    ana.stop();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };

    // Import, killed again and again, and between the kills a post that is acknowledged.
    let thread = ana.text(&["ask", "Kept?", "-m", "root"], "id");
    let mut acknowledged = vec!["root".to_owned()];
    for i in 0..kills {
        let mut import = ana
            .command(&["import", "mbox", mbox.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moment = Instant::now() + Duration::from_millis(next(700));
        while Instant::now() < moment && import.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        // It may have finished already.
        let _done = import.kill();
        import.wait().unwrap();
        ana.run(&["store", "check"]);
        let text = format!("acknowledged {i}");
        ana.run(&["reply", &thread, "-m", &text]);
        acknowledged.push(text);
    }
    ana.run(&["import", "mbox", mbox.to_str().unwrap()]);
    acknowledged.sort();
    assert_eq!(ana.post_texts(&thread), acknowledged);
    assert_eq!(ana.json(&["status"])["posts"], 3_000 + acknowledged.len());

    // Sync, killed again and again on the receiving side.
    ana.up();
    let ticket = ana.ticket("1");
    ben.must_join(&ticket, &ana);
    for _ in 0..kills {
        let pid = ben.json(&["status"])["node"]["pid"].to_string();
        let moment = Instant::now() + Duration::from_millis(next(400));
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        let killed = Command::new("kill").args(["-9", &pid]).status().unwrap();
        assert!(killed.success());
        until("the killed node is gone", || ben.json(&["status"])["node"].is_null());
        ben.run(&["store", "check"]);
        ben.up();
    }
    connect(&ben, &ana);
    until_equal(&[&ana, &ben]);
    assert_eq!(ben.post_texts(&thread), acknowledged);
    ben.run(&["store", "check"]);
}

/// An mbox of `n` mails in threads of ten.
fn many_mails(n: usize) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for i in 0..n {
        let root = i - i % 10;
        let _infallible = write!(
            out,
            "From someone Sat Jan 02 10:00:00 1999\nFrom: Member {} <m{}@example.org>\n\
             Message-ID: <{i}@example.org>\nDate: Sat, 02 Jan 1999 10:{:02}:{:02} +0000\n\
             Subject: Thread {root}\n{}\nThis is mail {i}. It says something that fills a line or two,\n\
             so that there is something to keep.\n\n",
            i % 7,
            i % 7,
            i / 60 % 60,
            i % 60,
            if i == root { String::new() } else { format!("In-Reply-To: <{root}@example.org>\n") },
        );
    }
    out
}
