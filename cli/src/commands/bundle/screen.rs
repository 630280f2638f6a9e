//! A bundle on the screen: as QR codes or as text, and back from text.

use std::path::PathBuf;

use lanai_node::bundle::text::{self, Parts, TextError};

use super::super::Context;
use crate::error::{CliError, Exit};
use crate::layout::Text;
use crate::qr;

/// Bytes of text that are read, at most.
const MAX_INPUT_BYTES: usize = 1 << 20;
/// Bytes of a line that are read at once.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// The parts of a bundle as text.
pub(super) fn to_parts(file: &[u8]) -> Result<Vec<String>, CliError> {
    text::to_parts(file).map_err(|error| {
        CliError::usage(format!("the bundle is too large for the screen: {error}")).hint(
            "`--budget 4kB` takes the oldest that fits, `--since 2d` what is new; or write a file",
        )
    })
}

/// Shows the parts, one after the other.
pub(super) fn show_parts(
    context: &mut Context,
    parts: &[String],
    as_qr: bool,
) -> Result<Exit, CliError> {
    let of = parts.len();
    // Whoever takes them with a phone says when the next one may come.
    let asks = as_qr && of > 1 && context.ui.out_is_terminal() && context.ui.can_ask();
    for (number, part) in (1..).zip(parts) {
        if !as_qr {
            context.ui.line(part.as_str())?;
            continue;
        }
        let picture = qr::render(part)?;
        let needed = qr::columns(&picture);
        if context.ui.columns().is_some_and(|columns| columns < needed) {
            let message = format!("the QR codes need a terminal of {needed} columns");
            return Err(CliError::failed("terminal-too-narrow", message)
                .hint("make the window wider or the letters smaller; --text shows text"));
        }
        context.ui.trusted(&format!("\n{}\n", picture.join("\n")))?;
        if asks && number < of {
            let answer = context
                .ui
                .ask(Text::from(format!("{number} of {of}; Enter shows the next, q ends:")))?;
            if answer.eq_ignore_ascii_case("q") {
                return Ok(Exit::Done);
            }
        } else {
            context.ui.line(format!("{number} of {of}"))?;
        }
    }
    Ok(Exit::Done)
}

/// The file whose parts are in these text files, or come over standard input.
pub(super) fn read_parts(context: &mut Context, files: &[PathBuf]) -> Result<Vec<u8>, CliError> {
    let mut parts = Parts::default();
    for path in files {
        let io = |e| CliError::io(format!("read {}", path.display()), &e);
        let size = std::fs::metadata(path).map_err(io)?.len();
        if size > MAX_INPUT_BYTES as u64 {
            let message = format!("{} is too large to hold parts of text", path.display());
            return Err(CliError::usage(message).hint("without --text it is taken as a bundle"));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        add(context, &mut parts, &String::from_utf8_lossy(&bytes));
    }
    if files.is_empty() {
        typed(context, &mut parts)?;
    }
    if let Some(error) = parts.rest() {
        context.ui.warn(error.to_string());
    }
    parts.file().ok_or_else(|| incomplete(&parts))
}

/// Reads until all is there or nothing more comes.
fn typed(context: &mut Context, parts: &mut Parts) -> Result<(), CliError> {
    let asks = context.ui.input_is_terminal();
    if asks {
        context.ui.say("paste or type the parts, in any order; Ctrl-D ends");
    }
    let mut read = 0;
    while let Some(line) = context.ui.input_line(MAX_LINE_BYTES)? {
        read += line.len();
        if read > MAX_INPUT_BYTES {
            return Err(CliError::failed("input-too-long", "that is more text than a bundle has"));
        }
        let before = parts.have();
        add(context, parts, &line);
        if parts.file().is_some() {
            break;
        }
        let (have, of) = parts.have();
        if asks && (have, of) != before {
            context.ui.say(format!("{have} of {of}"));
        }
    }
    Ok(())
}

fn add(context: &mut Context, parts: &mut Parts, text: &str) {
    for error in parts.add(text) {
        context.ui.warn(error.to_string());
        if matches!(error, TextError::Mistake(_)) {
            context.ui.hint("copy or type that part again");
        }
    }
}

fn incomplete(parts: &Parts) -> CliError {
    let (have, of) = parts.have();
    if have == 0 {
        return CliError::failed("no-bundle", "there is no part of a bundle in this text")
            .hint("parts begin with LANAIB1: and come from `lanai bundle make --text` or --qr");
    }
    let missing: Vec<String> = parts.missing().iter().map(u16::to_string).collect();
    if missing.is_empty() {
        return CliError::failed("damaged", "the parts do not make one bundle")
            .hint("let them be shown again: `lanai bundle make --text`");
    }
    let parts = if missing.len() == 1 { "part" } else { "parts" };
    CliError::failed("incomplete", format!("{parts} {} of {of} missing", missing.join(", ")))
        .hint("run it again with all parts, in any order")
}
