//! `lanai config`: the settings of a home.

use std::collections::BTreeMap;

use lanai_node::config::{Config, ConfigError};
use lanai_node::home::Home;
use lanai_node::lock::NodeLock;
use serde::Serialize;

use super::Context;
use crate::args::ConfigCommand;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};

#[derive(Serialize)]
struct Settings {
    settings: BTreeMap<&'static str, Setting>,
}

#[derive(Serialize)]
struct Setting {
    value: String,
    built_in: bool,
}

#[derive(Serialize)]
struct One<'a> {
    key: &'a str,
    value: String,
    built_in: bool,
}

pub(super) fn run(context: &mut Context, command: &ConfigCommand) -> Result<Exit, CliError> {
    let home = context.home()?;
    let mut config = Config::load(&home.config())?;
    match command {
        ConfigCommand::List => list(context, &config)?,
        ConfigCommand::Get { key } => {
            let (value, built_in) = value(&config, key)?;
            if context.ui.is_json() {
                context.ui.json("setting", &One { key, value, built_in })?;
            } else {
                context.ui.line(value)?;
            }
        }
        ConfigCommand::Set { key, value } => {
            config.set(key, value)?;
            save(context, &home, &config, key)?;
        }
        ConfigCommand::Unset { key } => {
            config.unset(key)?;
            save(context, &home, &config, key)?;
        }
    }
    Ok(Exit::Done)
}

/// A setting, and whether it is what is built in.
fn value(config: &Config, key: &str) -> Result<(String, bool), CliError> {
    let value = config.get(key).ok_or_else(|| ConfigError::NoSuchKey(key.to_owned()))?;
    let built_in = Config::default().get(key).as_ref() == Some(&value);
    Ok((value, built_in))
}

fn list(context: &mut Context, config: &Config) -> Result<(), CliError> {
    if context.ui.is_json() {
        let mut settings = BTreeMap::new();
        for key in Config::KEYS {
            let (value, built_in) = value(config, key)?;
            settings.insert(key, Setting { value, built_in });
        }
        return context.ui.json("settings", &Settings { settings });
    }
    let mut table = Table::new().column("SETTING").column("VALUE").flexible("MEANING");
    for key in Config::KEYS {
        let (value, built_in) = value(config, key)?;
        let style = if built_in { Style::Dim } else { Style::Plain };
        table.row([
            Text::from(key),
            Text::styled(style, value),
            Text::styled(Style::Dim, meaning(key)),
        ]);
    }
    context.ui.table(&table)
}

fn meaning(key: &str) -> &'static str {
    match key {
        "listen" => "addresses to listen on; all if empty",
        "port" => "port for TCP and UDP; 0 for any that is free",
        "mdns" => "look for members on the local network",
        "dial" => "addresses of members' nodes to connect to",
        "profiles" => {
            "links that are paid by the byte: 10.9.0.0/16=metered,5MB (a day), DEVICE=metered"
        }
        "outcome_after_days" => {
            "days after which you are asked how it went with an ask that has replies"
        }
        "outcome_after_answer_days" => "the same for an ask that was answered, from its last reply",
        "fetch_files_below" => {
            "files no larger than this are fetched unasked, in bytes (200kB, 1MB)"
        }
        "files_quota" => {
            "what files may take on the disk, in bytes (2GB); own and pinned ones stay"
        }
        "file_max" => "files larger than this are neither added nor fetched, in bytes",
        _ => "",
    }
}

fn save(context: &mut Context, home: &Home, config: &Config, key: &str) -> Result<(), CliError> {
    home.create()?;
    config.save(&home.config())?;
    let (value, built_in) = value(config, key)?;
    if context.ui.is_json() {
        context.ui.json("setting", &One { key, value, built_in })?;
    } else {
        let shown = if value.is_empty() { "empty".to_owned() } else { value };
        context.ui.say(format!("{key} is {shown}{}", if built_in { ", as built in" } else { "" }));
    }
    if NodeLock::holder(&home.lock()).is_some() {
        context.ui.hint("the node goes by it when it starts again: `lanai node stop`, `lanai up`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use super::*;

    fn set(key: &str, value: &str) -> ConfigCommand {
        ConfigCommand::Set { key: key.into(), value: value.into() }
    }

    #[test]
    fn settings_are_changed_and_listed() {
        let mut pipe = bench(None, false);
        run(&mut pipe.context, &set("port", "4110")).unwrap();
        run(&mut pipe.context, &ConfigCommand::Get { key: "port".into() }).unwrap();
        assert_eq!(pipe.out.text(), "4110\n");
        run(&mut pipe.context, &ConfigCommand::List).unwrap();
        assert!(pipe.out.text().contains("port\t4110\t"), "{}", pipe.out.text());
        run(&mut pipe.context, &ConfigCommand::Unset { key: "port".into() }).unwrap();
        assert!(pipe.err.text().contains("port is 0, as built in"));
        let home = pipe.context.home().unwrap();
        assert_eq!(Config::load(&home.config()).unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_explained() {
        let mut pipe = bench(None, false);
        let error = run(&mut pipe.context, &set("colour", "red")).unwrap_err();
        assert_eq!(error.exit, Exit::NotFound);
        assert!(error.hint.unwrap().contains("lanai config list"));
        assert_eq!(run(&mut pipe.context, &set("mdns", "red")).unwrap_err().exit, Exit::Usage);
        let home = pipe.context.home().unwrap();
        assert!(!home.config().exists());
        home.create().unwrap();
        std::fs::write(home.config(), "{").unwrap();
        let error = run(&mut pipe.context, &ConfigCommand::List).unwrap_err();
        assert_eq!((error.code, error.exit), ("config", Exit::Failed));
    }

    #[test]
    fn settings_for_programs() {
        let mut json = bench(None, true);
        run(&mut json.context, &ConfigCommand::List).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json.out.text()).unwrap();
        assert_eq!(value["settings"]["mdns"]["value"], "true");
        assert_eq!(value["settings"]["mdns"]["built_in"], true);
    }
}
