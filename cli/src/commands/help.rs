//! `lanai help`: on commands, and on topics that belong to no single command.

use lanai_crdt::limits;
use serde::Serialize;

use super::Context;
use crate::args::{HelpArgs, definition};
use crate::env::VARIABLES;
use crate::error::{CliError, Exit};
use crate::layout::{Style, Table, Text};
use crate::time::span;
use crate::ui::Ui;

pub(super) fn run(context: &mut Context, args: &HelpArgs) -> Result<Exit, CliError> {
    let ui = &mut context.ui;
    ui.start_pager();
    match args.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["limits"] => show_limits(ui)?,
        ["exit-codes"] => show_exits(ui)?,
        ["environment"] => show_variables(ui)?,
        _ => {
            let mut command = find(&args.words)?;
            let help = command.render_help();
            let text =
                if ui.out_is_coloured() { help.ansi().to_string() } else { help.to_string() };
            ui.trusted(&text)?;
        }
    }
    Ok(Exit::Done)
}

/// The command that these words name, with what it inherits and under its full name (`display
/// name` is `lanai-member-role`); `lanai` itself for none.
pub(super) fn find(words: &[String]) -> Result<clap::Command, CliError> {
    let mut root = definition();
    root.build();
    let mut command = &root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            CliError::usage(format!("there is no command or topic `{}`", words.join(" ")))
                .hint("`lanai help` lists the commands; topics: limits, exit-codes, environment")
        })?;
    }
    Ok(command.clone())
}

#[derive(Serialize)]
struct Limits {
    limits: Vec<Limit>,
}

#[derive(Serialize)]
struct Limit {
    name: &'static str,
    value: u64,
    unit: &'static str,
}

fn show_limits(ui: &mut Ui) -> Result<(), CliError> {
    let limits: Vec<Limit> = limits::TABLE
        .iter()
        .map(|&(name, value, unit)| Limit {
            name,
            value: u64::try_from(value).unwrap_or(u64::MAX),
            unit,
        })
        .collect();
    if ui.is_json() {
        return ui.json("limits", &Limits { limits });
    }
    let mut table = Table::new().flexible("WHAT").numbers("AT MOST").column("");
    for limit in &limits {
        table.row([Text::from(limit.name), grouped(limit.value).into(), shown_unit(limit).into()]);
    }
    ui.table(&table)
}

fn shown_unit(limit: &Limit) -> String {
    match limit.unit {
        "seconds" => format!("seconds ({})", span(limit.value)),
        unit => unit.to_owned(),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[derive(Serialize)]
struct Exits {
    exit_codes: Vec<ExitCode>,
}

#[derive(Serialize)]
struct ExitCode {
    number: u8,
    meaning: &'static str,
}

fn show_exits(ui: &mut Ui) -> Result<(), CliError> {
    let codes: Vec<ExitCode> =
        Exit::ALL.iter().map(|e| ExitCode { number: e.number(), meaning: e.meaning() }).collect();
    if ui.is_json() {
        return ui.json("exit-codes", &Exits { exit_codes: codes });
    }
    let mut table = Table::new().numbers("STATUS").flexible("MEANING");
    for code in &codes {
        table.row([code.number.to_string().as_str(), code.meaning]);
    }
    ui.table(&table)
}

#[derive(Serialize)]
struct Variables {
    variables: Vec<Variable>,
}

#[derive(Serialize)]
struct Variable {
    name: &'static str,
    effect: &'static str,
}

fn show_variables(ui: &mut Ui) -> Result<(), CliError> {
    let variables: Vec<Variable> =
        VARIABLES.iter().map(|&(name, effect)| Variable { name, effect }).collect();
    if ui.is_json() {
        return ui.json("environment", &Variables { variables });
    }
    let mut table = Table::new().column("VARIABLE").flexible("EFFECT");
    for variable in &variables {
        table.row([Text::styled(Style::Heading, variable.name), variable.effect.into()]);
    }
    ui.table(&table)
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use super::*;

    fn shown(words: &[&str], json: bool) -> Result<String, CliError> {
        let mut bench = bench(None, json);
        let words = words.iter().map(|&w| w.to_owned()).collect();
        run(&mut bench.context, &HelpArgs { words })?;
        Ok(bench.out.text())
    }

    #[test]
    fn help_on_commands() {
        assert!(shown(&[], false).unwrap().contains("Usage: lanai [OPTIONS] <COMMAND>"));
        let role = shown(&["member", "role"], false).unwrap();
        assert!(role.contains("Usage: lanai member role"), "{role}");
        assert!(role.contains("--json"), "{role}");
        assert_eq!(shown(&["nonsense"], false).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn help_on_topics() {
        let limits = shown(&["limits"], false).unwrap();
        assert_eq!(limits.lines().count(), limits::TABLE.len());
        assert!(limits.contains("title\t300\tbytes"), "{limits}");
        let exits = shown(&["exit-codes"], false).unwrap();
        assert!(exits.contains("\n7\tdone here"), "{exits}");
        assert!(shown(&["environment"], false).unwrap().contains("NO_COLOR\t"));
        for topic in ["limits", "exit-codes", "environment"] {
            let json: serde_json::Value =
                serde_json::from_str(&shown(&[topic], true).unwrap()).unwrap();
            assert_eq!(json["kind"], topic);
        }
    }

    #[test]
    fn numbers_in_groups() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(67_108_864), "67,108,864");
    }
}
