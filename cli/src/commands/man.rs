//! `lanai man`: manual pages, made from the same definition as the help.

use std::path::Path;

use clap_mangen::Man;

use super::Context;
use super::help::find;
use crate::args::{ManArgs, definition};
use crate::error::{CliError, Exit};

pub(super) fn run(context: &mut Context, args: &ManArgs) -> Result<Exit, CliError> {
    match &args.out {
        Some(dir) => {
            let written = write_all(dir)?;
            context.ui.say(format!("wrote {written} pages to {}", dir.display()));
        }
        None => {
            let command = find(&args.command)?;
            context.ui.trusted(&page(&command)?)?;
        }
    }
    Ok(Exit::Done)
}

/// The page in roff.
fn page(command: &clap::Command) -> Result<String, CliError> {
    let mut roff = Vec::new();
    Man::new(command.clone())
        .render(&mut roff)
        .map_err(|e| CliError::internal(format!("cannot make the page: {e}")))?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

fn write_all(dir: &Path) -> Result<usize, CliError> {
    std::fs::create_dir_all(dir)
        .map_err(|e| CliError::io(format!("make the directory {}", dir.display()), &e))?;
    let mut words = vec![Vec::new()];
    paths(&definition(), &[], &mut words);
    for path in &words {
        let command = find(path)?;
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let file = dir.join(format!("{name}.1"));
        std::fs::write(&file, page(&command)?)
            .map_err(|e| CliError::io(format!("write {}", file.display()), &e))?;
    }
    Ok(words.len())
}

/// The words of every subcommand below `command`.
fn paths(command: &clap::Command, before: &[String], found: &mut Vec<Vec<String>>) {
    for sub in command.get_subcommands() {
        let mut words = before.to_vec();
        words.push(sub.get_name().to_owned());
        paths(sub, &words, found);
        found.push(words);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use super::*;

    #[test]
    fn the_page_of_a_command_goes_to_standard_output() {
        let mut bench = bench(None, false);
        let args = ManArgs { command: vec!["member".into(), "role".into()], out: None };
        run(&mut bench.context, &args).unwrap();
        let text = bench.out.text();
        assert!(text.contains(".TH lanai-member-role 1"), "{text}");
        assert!(text.contains("lanai member role ann lead"), "{text}");
        let args = ManArgs { command: vec!["nonsense".into()], out: None };
        assert_eq!(run(&mut bench.context, &args).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn all_pages_go_to_a_directory() {
        let mut bench = bench(None, false);
        let out = bench.dir.path().join("man1");
        run(&mut bench.context, &ManArgs { command: vec![], out: Some(out.clone()) }).unwrap();
        assert!(bench.err.text().starts_with("wrote "));
        for page in ["lanai.1", "lanai-ask.1", "lanai-store-backup.1", "lanai-import-mbox.1"] {
            let text = std::fs::read_to_string(out.join(page)).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
    }
}
