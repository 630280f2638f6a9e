//! `lanai report`: what those who mend lanai need to know, without who and what.

mod redact;

use std::path::{Path, PathBuf};

use lanai_node::config::Config;
use lanai_node::home::Home;
use serde::Serialize;
use serde_json::{Value, json};

use self::redact::Redactor;
use super::{Context, doctor, metrics, node, status};
use crate::app::App;
use crate::args::ReportArgs;
use crate::error::{CliError, Exit};
use crate::layout::Text;
use crate::time;

/// Bytes of the log's end that go in.
const LOG_BYTES: u64 = 512 * 1024;

/// What stands in the report beside the numbers.
const READ_ME: &str = "\
A report of one home of lanai, for those who mend it. Look through it before you hand it on.

  versions.json   versions of the program, the system and the store
  store.json      how many entries of which kind there are, and what waits
  doctor.json     what `lanai doctor` found
  node.json       the node as it sees itself, without addresses
  metrics.txt     its counters
  config.json     settings, without addresses
  log.txt         the end of the node's log

Left out: texts, titles, keys, names and addresses. <name-1>, <id-2> and so on stand for one name or id each
throughout the report; which ones they are nobody else can tell. Of addresses the kind is left.
";

#[derive(Serialize)]
struct Shape {
    path: String,
    files: Vec<String>,
    redacted: u64,
}

pub(super) fn run(context: &mut Context, args: &ReportArgs) -> Result<Exit, CliError> {
    let app = App::open_quietly(context)?;
    let now_ms = (context.clock)();
    let path = args.dir.clone().unwrap_or_else(|| {
        let day = time::rfc3339(time::seconds(now_ms)).unwrap_or_default();
        PathBuf::from(format!("lanai-report-{}", day.replace([':', '-'], "")))
    });
    let mut redactor = Redactor::new(names(context, &app)?, app.home().root());
    context.ui.detail("asking the node and checking the store");
    let running = node::status_of(app.home()).unwrap_or_default();
    let checks = doctor::checks(context, &app)?;
    let stats = app.store().stats()?;
    let node = serde_json::to_value(&running).map_err(|e| CliError::internal(e.to_string()))?;
    let config = settings(app.home());
    let log = log_tail(app.home());
    let files: [(&str, String); 7] = [
        ("README.txt", READ_ME.to_owned()),
        ("versions.json", pretty(&versions(&app, now_ms)?)),
        (
            "store.json",
            pretty(&json!({
                "bytes": stats.bytes, "entries": stats.entries, "logs": stats.logs,
                "threads": stats.threads, "posts": stats.posts, "unfolded": stats.unfolded,
                "missing_payloads": stats.missing_payloads, "holes": stats.holes,
                "waiting_for_past": stats.waiting_for_past,
                "waiting_for_device": stats.waiting_for_device, "locked": stats.locked,
                "uncounted": stats.uncounted, "void": stats.void,
                "forks": app.store().forks()?.len(),
                "members": app.store().roster()?.members().count(),
            })),
        ),
        ("doctor.json", pretty(&redactor.value(&checks))),
        ("node.json", pretty(&redactor.value(&node))),
        ("metrics.txt", metrics::text(running.as_ref(), &stats)),
        ("config.json", pretty(&redactor.value(&config))),
    ];
    let log: Vec<String> = log.lines().map(|line| redactor.text(line)).collect();
    std::fs::create_dir(&path).map_err(|e| CliError::io(format!("make {}", path.display()), &e))?;
    let mut named = Vec::new();
    for (name, text) in files.into_iter().chain([("log.txt", log.join("\n") + "\n")]) {
        write(&path.join(name), &text)?;
        named.push(name.to_owned());
    }
    let shown = path.display().to_string();
    if context.ui.is_json() {
        let redacted = redactor.count();
        context.ui.json("report", &Shape { path: shown, files: named, redacted })?;
        return Ok(Exit::Done);
    }
    let left_out = status::count(redactor.count(), "place", "places");
    context.ui.say(Text::from(format!("written to {shown}: {}", named.join(", "))));
    context.ui.say(format!("names, ids, addresses and paths were taken out at {left_out}"));
    context.ui.hint(format!("look through it first; `tar czf report.tgz {shown}` packs it"));
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let error = |e| CliError::io(format!("write {}", path.display()), &e);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.map_err(error)?.write_all(text.as_bytes()).map_err(error)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// All names that may stand somewhere: of members, devices' owners and the community.
fn names(context: &Context, app: &App) -> Result<Vec<String>, CliError> {
    let people = app.people()?;
    let mut names: Vec<String> = people.iter().map(|(_, name)| name.to_owned()).collect();
    names.push(status::community_name(app)?);
    let env = context.ui.env();
    names.extend(["USER", "LOGNAME"].iter().filter_map(|name| env.get_filled(name)));
    Ok(names)
}

fn versions(app: &App, now_ms: u64) -> Result<Value, CliError> {
    Ok(json!({
        "lanai": env!("CARGO_PKG_VERSION"),
        "system": std::env::consts::OS,
        "machine": std::env::consts::ARCH,
        "debug": cfg!(debug_assertions),
        "sqlcipher": cfg!(feature = "sqlcipher"),
        "schema": app.store().schema_version()?,
        "made": time::rfc3339(time::seconds(now_ms)),
    }))
}

/// Settings that differ from what is built in, as the file has them.
fn settings(home: &Home) -> Value {
    match Config::load(&home.config()) {
        Ok(config) => {
            let all = Config::KEYS.iter().map(|key| ((*key).to_owned(), json!(config.get(key))));
            Value::Object(all.collect())
        }
        Err(error) => json!({ "problem": error.to_string() }),
    }
}

fn log_tail(home: &Home) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(home.log())?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(LOG_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(|e| format!("no log: {e}"), |b| String::from_utf8_lossy(&b).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::village::House;

    #[test]
    fn a_report_says_nothing_of_who_and_where() {
        let ann = House::founder("Ann Lee");
        let bob = ann.neighbour("Bobbin");
        let note = ann.note("Convoy lessons", "Brief the drivers.");
        let device = bob.store.own_device();
        let log = format!(
            "2026-11-30T02:31:07Z  INFO connected device={} address=/ip4/10.0.0.7/udp/4110/quic-v1\n\
             2026-11-30T02:31:08Z  WARN Bobbin sent {note}: {}\n",
            device.short(),
            ann.home.store().display()
        );
        std::fs::write(ann.home.log(), log).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trouble");
        let said = ann.run(&["report", &path.display().to_string()]);
        assert!(said.err.contains("look through it first"), "{}", said.err);
        said.ok();
        let mut all = String::new();
        for file in std::fs::read_dir(&path).unwrap() {
            all += &std::fs::read_to_string(file.unwrap().path()).unwrap();
        }
        let community = ann.store.community();
        let secrets = [
            "Ann",
            "Bobbin",
            "Convoy",
            "drivers",
            "porch",
            "10.0.0.7",
            "4110",
            &device.short(),
            &device.full(),
            &note.short(),
            &note.full(),
            &community.full(),
            &community.short(),
            &ann.home.root().display().to_string(),
        ];
        for secret in secrets {
            let plain = secret.replace('-', "");
            assert!(!all.contains(secret) && !all.contains(&plain), "{secret} in {all}");
        }
        for kept in [
            "INFO connected device=<id-",
            "</ip4/private/udp/quic-v1>",
            "\"entries\":",
            "\"check\": \"store\"",
            "\"schema\":",
            "lanai_up 0",
            "/home-of-lanai/store.db",
        ] {
            assert!(all.contains(kept), "{kept} not in {all}");
        }
        // It is not written over.
        assert!(ann.run(&["report", &path.display().to_string()]).done.is_err());
    }
}
