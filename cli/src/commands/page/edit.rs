//! Changing a page: `page edit`, `page restore`, `page take`, `page renew` and `reframe`.

use lanai_crdt::id::EntryId;
use lanai_crdt::payload::PageKind;
use lanai_crdt::thread::ThreadKind;
use lanai_node::random::OsRandom;
use lanai_node::store::{PageEdit, PageView};

use super::{Place, cite, version};
use crate::app::App;
use crate::args::{PageEditArgs, PageRenewArgs, PageRestoreArgs, PageTakeArgs, ReframeArgs};
use crate::commands::Context;
use crate::commands::publish::{self, Written};
use crate::compose::Template;
use crate::editor::Drafts;
use crate::error::{CliError, Exit};

const ANSWER_HELP: &str = "\
The answer that the members of this thread weave together: change what you like.
[[id]] cites a post and credits its author. What others change meanwhile is merged with it.
Nothing from the line above on is published.";

const QUESTION_HELP: &str = "\
The question. Its first line is the title of the thread.
Earlier wordings stay to be read. Nothing from the line above on is published.";

const REFRAME_HELP: &str = "\
Put the question as you think it is better put. Who asked it can take your wording over.
The first line is the title. Nothing from the line above on is published.";

/// The setting that holds the heads of the text on which a draft was begun.
fn base_key(purpose: &str) -> String {
    format!("draft-base:{purpose}")
}

/// The heads of the text that the writer sees: those on which an open draft was begun, else today's.
fn base_of(
    context: &Context,
    app: &App,
    purpose: &str,
    view: &PageView,
    in_editor: bool,
) -> Result<Vec<EntryId>, CliError> {
    let key = base_key(purpose);
    if !in_editor || !context.ui.input_is_terminal() {
        return Ok(view.heads.clone());
    }
    let begun = Drafts::new(app.home().drafts()).draft(purpose).read()?.is_some();
    if begun && let Some(bytes) = app.store().setting(&key)? {
        return Ok(bytes.chunks_exact(32).filter_map(EntryId::from_slice).collect());
    }
    let bytes: Vec<u8> = view.heads.iter().flat_map(|h| *h.as_bytes()).collect();
    app.store().set_setting(&key, Some(&bytes))?;
    Ok(view.heads.clone())
}

fn write(
    context: &mut Context,
    app: &App,
    thread: &EntryId,
    kind: PageKind,
    edit: PageEdit,
) -> Result<EntryId, CliError> {
    let now_ms = (context.clock)();
    let id = app.store().write_page(&app.author()?, now_ms, &mut OsRandom, thread, kind, edit)?;
    app.written(context)?;
    Ok(id)
}

pub(super) fn edit(context: &mut Context, args: &PageEditArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let place = Place::find(&app, &args.which)?;
    let Place { view, kind, .. } = &place;
    let short = view.thread.short();
    if *kind == PageKind::Question && !app.may_write_question(&place.spot)? {
        return Err(CliError::refused(
            "the question is written by who asked it, leads and stewards",
        )
        .hint(format!("`lanai reframe {short}` proposes a wording")));
    }
    let purpose = format!("page {} {short}", kind.word());
    let base =
        base_of(context, &app, &purpose, view, args.text.message.is_empty() && !args.append)?;
    let before = app.store().page_at(&view.thread, *kind, &base)?;
    let before = before.unwrap_or_else(|| view.text.clone());
    let help = if *kind == PageKind::Question { QUESTION_HELP } else { ANSWER_HELP };
    let initial = if args.append { "" } else { before.as_str() };
    let purpose_of_draft =
        if args.append { format!("page add {} {short}", kind.word()) } else { purpose.clone() };
    let template = Template { initial, help, readers: None };
    let messages = &args.text.message;
    let written = Written::get(context, &app, messages, &purpose_of_draft, template, false)?;
    let whole = match args.append {
        true if before.trim().is_empty() => written.text.clone(),
        true => format!("{}\n\n{}", before.trim_end(), written.text),
        false => written.text.clone(),
    };
    if whole.trim_end() == before.trim_end() {
        written.forget();
        app.store().set_setting(&base_key(&purpose), None)?;
        context.ui.say("the text is the same; nothing was published");
        return publish::report_unchanged(context, &view.thread, &view.thread);
    }
    let entry = cite::settled(&app, &whole, &before).and_then(|text| {
        write(context, &app, &view.thread, *kind, PageEdit::Text { base: base.clone(), text })
    });
    let id = written.keep_on_error(entry)?;
    app.store().set_setting(&base_key(&purpose), None)?;
    let after = app.store().page(&view.thread, *kind)?;
    if let Some(after) = &after {
        if base != view.heads || after.heads.len() > 1 {
            context.ui.say("merged with what others wrote meanwhile");
        }
        if !after.conflicts.is_empty() {
            context.ui.say(format!(
                "two wordings stand side by side in {} place(s): look at it once more",
                after.conflicts.len()
            ));
        }
    }
    report(context, &format!("changed the {}", kind.word()), &id, view, *kind)
}

fn report(
    context: &mut Context,
    what: &str,
    id: &EntryId,
    view: &PageView,
    kind: PageKind,
) -> Result<Exit, CliError> {
    publish::report_with(context, what, id, &view.thread, || {
        let question = if kind == PageKind::Question { " --question" } else { "" };
        format!("lanai page show {}{question}", view.thread.short())
    })?;
    Ok(Exit::Done)
}

pub(super) fn restore(context: &mut Context, args: &PageRestoreArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let place = Place::find(&app, &args.which)?;
    let view = &place.view;
    let at = version(&app, &place, &args.version)?;
    let text = app.store().page_at(&view.thread, place.kind, &[at])?;
    let text = text.ok_or_else(|| {
        CliError::not_found("that change is not part of the text, so there is no version of it")
    })?;
    let edit = PageEdit::Text { base: view.heads.clone(), text };
    let id = write(context, &app, &view.thread, place.kind, edit)?;
    report(context, "restored", &id, view, place.kind)
}

pub(super) fn renew(context: &mut Context, args: &PageRenewArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let place = Place::find(&app, &args.which)?;
    let view = &place.view;
    let id = write(context, &app, &view.thread, place.kind, PageEdit::Renew)?;
    report(context, "started afresh", &id, view, place.kind)
}

pub(super) fn take(context: &mut Context, args: &PageTakeArgs) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let place = Place::of(&app, &args.thread, PageKind::Question)?;
    let view = &place.view;
    let short = view.thread.short();
    let id = match (&args.proposal, view.proposals.as_slice()) {
        (Some(typed), _) => version(&app, &place, typed)?,
        (None, [one]) => one.id,
        (None, []) => {
            return Err(CliError::not_found("nobody proposes another wording")
                .hint(format!("lanai page show {short} --question")));
        }
        (None, several) => {
            let lines: Vec<String> = several
                .iter()
                .map(|p| {
                    let by = view.sources.get(&p.id).and_then(|s| s.name.clone());
                    format!("{}  {}", p.id.short(), by.unwrap_or_default())
                })
                .collect();
            return Err(crate::app::ambiguous("several wordings are proposed".into(), &lines)
                .hint(format!("lanai page take {short} ID")));
        }
    };
    let id = write(context, &app, &view.thread, PageKind::Question, PageEdit::Take(id))?;
    report(context, "taken over", &id, view, PageKind::Question)
}

pub(in crate::commands) fn reframe(
    context: &mut Context,
    args: &ReframeArgs,
) -> Result<Exit, CliError> {
    let app = App::open(context)?;
    let place = Place::of(&app, &args.thread, PageKind::Question)?;
    let view = &place.view;
    let purpose = format!("reframe {}", view.thread.short());
    let base = base_of(context, &app, &purpose, view, args.text.message.is_empty())?;
    let before = app.store().page_at(&view.thread, PageKind::Question, &base)?;
    let before = before.unwrap_or_else(|| view.text.clone());
    let template = Template { initial: &before, help: REFRAME_HELP, readers: None };
    let written = Written::get(context, &app, &args.text.message, &purpose, template, false)?;
    if written.text.trim_end() == before.trim_end() {
        written.forget();
        app.store().set_setting(&base_key(&purpose), None)?;
        context.ui.say("the wording is the same; nothing was proposed");
        return publish::report_unchanged(context, &view.thread, &view.thread);
    }
    let reason = args.why.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned);
    let entry = cite::settled(&app, &written.text, &before).and_then(|text| {
        let edit = PageEdit::Propose { base, text, reason };
        write(context, &app, &view.thread, PageKind::Question, edit)
    });
    let id = written.keep_on_error(entry)?;
    app.store().set_setting(&base_key(&purpose), None)?;
    report(context, "proposed; who asked can take it over", &id, view, PageKind::Question)
}

impl App {
    /// Whether we may change the question of a thread: who asked it, leads and stewards may.
    pub(crate) fn may_write_question(&self, spot: &crate::app::Spot) -> Result<bool, CliError> {
        Ok(spot.thread().kind == ThreadKind::Ask && self.speaks_for(spot)?)
    }
}
