//! The members and their homes, and what a reader sees on a terminal when a command is given there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::homes::{Home, PATIENCE, connect, until_equal};
use crate::markdown::Action;
use crate::pattern::Ids;

/// Columns of the terminal.
const COLUMNS: u16 = 90;

/// All that a transcript acts upon.
pub(crate) struct World {
    // Dropped first, which stops their nodes.
    homes: BTreeMap<String, Home>,
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        World { homes: BTreeMap::new(), dir: tempfile::tempdir().unwrap() }
    }

    /// Acts; gives the lines of output, with `? STATUS` as the last one if it is not 0.
    pub(crate) fn act(&mut self, action: &Action, ids: &Ids) -> Vec<String> {
        match action {
            Action::Run { member, script } => self.run(member, script, ids),
            Action::Found { member, community } => {
                let home = self.home(member);
                let name = home.name.clone();
                home.run(&["init", "--name", &name, "--community", community]);
                Vec::new()
            }
            Action::Join { members, through } => {
                let names: Vec<&str> =
                    members.iter().chain([through]).map(String::as_str).collect();
                for name in &names {
                    self.home(name);
                }
                let host = &self.homes[through];
                host.up();
                let ticket = host.ticket(&members.len().to_string());
                for name in members {
                    self.homes[name].must_join(&ticket, host);
                }
                self.until_same(&names);
                Vec::new()
            }
            Action::Sync { members } => {
                let names: Vec<&str> = members.iter().map(String::as_str).collect();
                for name in &names {
                    self.home(name).up();
                }
                for name in &names[1..] {
                    connect(&self.homes[*name], &self.homes[names[0]]);
                }
                self.until_same(&names);
                Vec::new()
            }
        }
    }

    /// Waits until the nodes hold the same, and stops them: all are off-line again.
    fn until_same(&self, names: &[&str]) {
        let homes: Vec<&Home> = names.iter().map(|n| &self.homes[*n]).collect();
        until_equal(&homes);
        for home in homes {
            home.stop();
        }
    }

    fn home(&mut self, member: &str) -> &Home {
        let dir = self.dir.path();
        self.homes.entry(member.to_owned()).or_insert_with(|| {
            let home = Home { root: dir.join(member), name: capitalised(member) };
            std::fs::create_dir_all(dir.join("desks").join(member)).unwrap();
            home.stay_here();
            home
        })
    }

    fn run(&mut self, member: &str, script: &str, ids: &Ids) -> Vec<String> {
        let (name, root) = {
            let home = self.home(member);
            (home.name.clone(), home.root.clone())
        };
        let program = PathBuf::from(env!("CARGO_BIN_EXE_lanai"));
        let mut path = OsString::from(program.parent().unwrap());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());

        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 50, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let other_end = ptsname(&master, Vec::new()).unwrap();
        let terminal = rustix::fs::open(
            &other_end,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .unwrap();

        let mut command = Command::new("sh");
        command
            .args(["-uc", script])
            .current_dir(self.dir.path().join("desks").join(member))
            .env_clear()
            .env("PATH", path)
            .env("LANAI_HOME", root)
            .env("USER", name)
            .env("TERM", "dumb")
            .env("in_three_days", in_three_days())
            .envs(ids)
            .stdin(Stdio::null())
            .stdout(terminal.try_clone().unwrap())
            .stderr(terminal);
        let mut child = command.spawn().unwrap();
        // The terminal ends when nobody holds its other end any more.
        drop(command);
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let _gave_up = sender.send(read_all(master));
        });
        let Ok(output) = receiver.recv_timeout(PATIENCE) else {
            let _gone = child.kill();
            panic!("not within {PATIENCE:?}: {script}");
        };
        let status = child.wait().unwrap();

        let text = String::from_utf8_lossy(&output).replace('\r', "");
        let mut lines: Vec<String> = text.lines().map(|l| l.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        match status.code() {
            Some(0) => {}
            Some(code) => lines.push(format!("? {code}")),
            None => lines.push(format!("? {status}")),
        }
        lines
    }
}

/// A date that is always ahead, as `2026-03-06`.
fn in_three_days() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    lanai_cli::time::day(i64::try_from(now).unwrap() + 3 * 86_400)
}

/// Reads a terminal to its end, which Linux reports as an error.
fn read_all(master: OwnedFd) -> Vec<u8> {
    let mut output = Vec::new();
    let _closed = File::from(master).read_to_end(&mut output);
    output
}

fn capitalised(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
