//! `lanai completion`: scripts that complete command lines.

use super::Context;
use crate::args::{CompletionArgs, definition};
use crate::error::{CliError, Exit};

pub(super) fn run(context: &mut Context, args: &CompletionArgs) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "lanai", &mut script);
    context.ui.trusted(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use clap_complete::Shell;

    use super::super::testing::bench;
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for &shell in Shell::value_variants() {
            let mut bench = bench(None, false);
            run(&mut bench.context, &CompletionArgs { shell }).unwrap();
            let script = bench.out.text();
            for word in ["withdraw", "mark-all", "no-pager"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
