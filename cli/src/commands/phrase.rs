//! The phrase on paper: offered when an identity is made, or made later, shown once, and checked.

use std::path::Path;

use lanai_node::identity::phrase::{PHRASE_WORDS, Phrase, PhraseError};
use lanai_node::identity::private;
use lanai_node::random::{OsRandom, random_bytes};
use zeroize::Zeroizing;

use super::{Context, identity};
use crate::args::PhraseArgs;
use crate::error::CliError;
use crate::ui::UNATTENDED;

/// How often it is shown again to somebody who wrote down another word.
const TRIES: usize = 3;
/// How many words are asked for.
const ASKED: usize = 2;
/// Words in a line.
const COLUMNS: usize = 4;
/// Clears a terminal, what was scrolled away included.
const CLEAR: &str = "\u{1b}[2J\u{1b}[3J\u{1b}[H";

impl From<PhraseError> for CliError {
    fn from(error: PhraseError) -> CliError {
        CliError::usage(error.to_string())
            .hint("type the twelve words in the order of their numbers")
    }
}

/// Offers a phrase to somebody who is about to become a member.
pub(super) fn offer(context: &mut Context, args: &PhraseArgs) -> Result<Option<Phrase>, CliError> {
    if let Some(path) = &args.phrase_file {
        return to_file(context, path).map(Some);
    }
    if args.no_phrase || !can_show(context) {
        return none(context);
    }
    let ui = &mut context.ui;
    ui.say(
        "Twelve words on paper bring you back when every device is lost, as the member who you are. \
         Whoever has the paper can be you, and turn out your devices.",
    );
    if ui.ask("Make them now? [Y/n]")?.to_lowercase().starts_with('n') {
        return none(context);
    }
    match on_paper(context)? {
        Some(phrase) => Ok(Some(phrase)),
        None => none(context),
    }
}

/// Makes a phrase for somebody who asked for one.
pub(super) fn make(context: &mut Context, file: Option<&Path>) -> Result<Phrase, CliError> {
    if let Some(path) = file {
        return to_file(context, path);
    }
    if !can_show(context) {
        return Err(CliError::failed(UNATTENDED, "there is no terminal to show the words on")
            .hint("use --phrase-file"));
    }
    on_paper(context)?.ok_or_else(|| {
        CliError::failed("cancelled", "the words are not on paper; nothing was done")
    })
}

fn can_show(context: &Context) -> bool {
    let ui = &context.ui;
    ui.can_ask() && ui.out_is_terminal() && !ui.is_json()
}

fn to_file(context: &mut Context, path: &Path) -> Result<Phrase, CliError> {
    let phrase = Phrase::generate(&mut OsRandom);
    let words: Vec<&str> = phrase.words().collect();
    private::create(path, Zeroizing::new(words.join(" ") + "\n").as_bytes())?;
    context.ui.say(format!(
        "the phrase that brings you back is in {}: put it on paper, and remove the file",
        path.display()
    ));
    Ok(phrase)
}

/// Shows a phrase until it is on paper; `None` where that does not succeed.
fn on_paper(context: &mut Context) -> Result<Option<Phrase>, CliError> {
    let phrase = Phrase::generate(&mut OsRandom);
    for _ in 0..TRIES {
        show(context, &phrase)?;
        if is_on_paper(context, &phrase)? {
            return Ok(Some(phrase));
        }
        context.ui.say("That is another word. Here they are again.");
    }
    context.ui.say("The words are thrown away.");
    Ok(None)
}

fn none(context: &mut Context) -> Result<Option<Phrase>, CliError> {
    context.ui.warn(
        "no phrase is made: if every device is lost, only a steward who knows you brings you back",
    );
    Ok(None)
}

fn show(context: &mut Context, phrase: &Phrase) -> Result<(), CliError> {
    context.ui.line("Write these on paper. They are shown this once and kept nowhere:")?;
    let words: Vec<&str> = phrase.words().collect();
    for (row, words) in words.chunks(COLUMNS).enumerate() {
        let mut line = Zeroizing::new(String::new());
        for (column, word) in words.iter().enumerate() {
            line.push_str(&format!("  {:>2} {word:<9}", row * COLUMNS + column + 1));
        }
        context.ui.line(line.as_str())?;
    }
    context.ui.ask("Press Enter when they are on paper; they are checked then.")?;
    context.ui.trusted(CLEAR)
}

/// Asks for some of the words, by their numbers.
fn is_on_paper(context: &mut Context, phrase: &Phrase) -> Result<bool, CliError> {
    let words: Vec<&str> = phrase.words().collect();
    let [first, second]: [u8; ASKED] = random_bytes();
    let first = usize::from(first) % PHRASE_WORDS;
    let second = (first + 1 + usize::from(second) % (PHRASE_WORDS - 1)) % PHRASE_WORDS;
    for at in [first, second] {
        let typed = Zeroizing::new(context.ui.ask(format!("Word {}:", at + 1))?.to_lowercase());
        if words.get(at) != Some(&typed.as_str()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the phrase from a file, or asks for it.
pub(super) fn read(context: &mut Context, file: Option<&Path>) -> Result<Phrase, CliError> {
    let text = match file {
        Some(path) => identity::read_bounded(path)?,
        None => Zeroizing::new(
            context
                .ui
                .ask_secret("The twelve words:")
                .map_err(|e| if e.code == UNATTENDED { e.hint("use --phrase-file") } else { e })?,
        ),
    };
    Ok(Phrase::parse(&text)?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::bench;
    use super::*;
    use crate::ui::UiOptions;
    use crate::ui::testing::ui;

    fn args() -> PhraseArgs {
        PhraseArgs::default()
    }

    #[test]
    fn nobody_is_asked_where_nobody_answers() {
        for mut bench in [bench(None, false), bench(None, true), bench(Some(80), true)] {
            assert!(offer(&mut bench.context, &args()).unwrap().is_none());
            assert!(bench.err.text().contains("no phrase is made"), "{}", bench.err.text());
        }
        let mut bench = bench(Some(80), false);
        let no = PhraseArgs { no_phrase: true, ..args() };
        assert!(offer(&mut bench.context, &no).unwrap().is_none());
        assert_eq!(bench.out.text(), "");
    }

    #[test]
    fn words_that_were_not_written_down_are_thrown_away() {
        let mut bench = bench(Some(80), false);
        let input = "\n\nzebra\n\nzebra\n\nzebra\n";
        let (terminal, out, err) = ui(Some(80), UiOptions::default(), input);
        bench.context.ui = terminal;
        assert!(offer(&mut bench.context, &args()).unwrap().is_none());
        assert_eq!(out.text().matches("shown this once").count(), TRIES);
        assert_eq!(out.text().matches(CLEAR).count(), TRIES);
        assert!(err.text().contains("no phrase is made"), "{}", err.text());
    }

    #[test]
    fn a_file_takes_the_phrase_for_scripts_and_is_not_overwritten() {
        let mut bench = bench(None, true);
        let path = bench.dir.path().join("words");
        let args = PhraseArgs { phrase_file: Some(path.clone()), ..args() };
        let phrase = offer(&mut bench.context, &args).unwrap().unwrap();
        let read = read(&mut bench.context, Some(&path)).unwrap();
        assert_eq!(read.identity().device_id(), phrase.identity().device_id());
        assert!(offer(&mut bench.context, &args).is_err());
    }
}
