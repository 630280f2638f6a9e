//! Read marks and drafts among the devices of one person.
//!
//! 1. What other devices told is taken in before anything is listed or written: posts count as read, and
//!    drafts become files. A file that says something else than it did when devices last agreed stays; what
//!    came is put beside it.
//! 2. After a command that reads or drafts, the other devices are told, not more often than every
//!    quarter of an hour; before a sync, and when the node stops, at once.
//! 3. A draft that is gone was published or thrown away. Where the whole directory is gone (a locked home
//!    keeps it in memory), nobody threw anything away, and it is made again from what was told.
//! 4. The draft of a page belongs to the text that it was begun on, and stays on its device.

use std::collections::BTreeMap;

use lanai_node::random::OsRandom;
use lanai_node::store::SharedDraft;

use crate::app::{self, App};
use crate::commands::Context;
use crate::editor::Drafts;
use crate::error::CliError;

/// Drafts that stay on their device begin with this.
const OF_PAGES: [&str; 2] = ["page-", "reframe-"];

/// Takes in what other devices of ours told.
pub(crate) fn take(app: &App) -> Result<(), CliError> {
    app.store().take_own_states(|| app.author().ok())?;
    let dir = app.home().drafts();
    let lost = !dir.is_dir();
    let mut shared = app.store().shared_drafts()?;
    shared.retain(|draft| draft.changed || lost && !draft.texts.is_empty());
    if shared.is_empty() {
        return Ok(());
    }
    let drafts = Drafts::new(dir);
    // An editor is open on one of them: another time.
    let Some(_alone) = drafts.alone()? else { return Ok(()) };
    shared.iter().try_for_each(|draft| put_into_file(app, &drafts, draft, lost))
}

fn put_into_file(
    app: &App,
    drafts: &Drafts,
    shared: &SharedDraft,
    lost: bool,
) -> Result<(), CliError> {
    let draft = drafts.draft(&shared.key);
    // What cannot be read is the writer's to look at.
    let Ok(says) = draft.read() else { return Ok(()) };
    let mut rest = shared.texts.as_slice();
    if lost || says == shared.filed {
        match rest.split_first() {
            Some((first, others)) => {
                draft.keep(first)?;
                rest = others;
            }
            None => draft.published(),
        }
    }
    for text in rest.iter().filter(|text| shared.new.contains(*text)) {
        let beside = draft.beside(text)?;
        if beside != draft {
            beside.keep(text)?;
            let path = beside.path().display();
            let said = format!("another device of yours has another text for one draft: {path}");
            app.store().notify("draft", &said, 0)?;
        }
    }
    Ok(app.store().draft_filed(shared)?)
}

/// Tells our other devices what was read and drafted here.
pub(crate) fn tell(context: &Context, app: &App, at_once: bool) -> Result<(), CliError> {
    if !app.store().has_other_devices()? {
        return Ok(());
    }
    take(app)?;
    let author = app.author()?;
    let drafts = begun(app);
    let now_ms = (context.clock)();
    if app.store().tell_own_devices(&author, now_ms, &mut OsRandom, drafts.as_ref(), at_once)? {
        app::wake(app.home());
    }
    Ok(())
}

/// After a command that may have read or drafted something. Its own result stands.
pub(crate) fn tell_after(context: &mut Context, at_once: bool) {
    if !context.home().is_ok_and(|home| home.has_store()) {
        return;
    }
    if let Err(error) = App::open_quietly(context).and_then(|app| tell(context, &app, at_once)) {
        context.ui.detail(format!("your other devices are not told: {}", error.message));
    }
}

/// The drafts in files; `None` where they cannot be read, and so nothing can be said about them.
fn begun(app: &App) -> Option<BTreeMap<String, String>> {
    let dir = app.home().drafts();
    if !dir.is_dir() {
        return None;
    }
    let mut texts = BTreeMap::new();
    for draft in Drafts::new(dir).list().ok()? {
        let key = draft.path().file_stem()?.to_str()?.to_owned();
        if OF_PAGES.iter().any(|of| key.starts_with(of)) {
            continue;
        }
        if let Some(text) = draft.read().ok()? {
            texts.insert(key, text);
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::village::House;

    fn unread(house: &House) -> u64 {
        house.json(&["inbox"])["unread"].as_u64().unwrap()
    }

    fn draft(house: &House, purpose: &str) -> Option<String> {
        Drafts::new(house.home.drafts()).draft(purpose).read().unwrap()
    }

    fn keep(house: &House, purpose: &str, text: &str) {
        Drafts::new(house.home.drafts()).draft(purpose).keep(text).unwrap();
    }

    /// As `lanai sync` does.
    fn tell(house: &House) {
        let mut bench = house.bench(None, false);
        let app = App::open(&mut bench.context).unwrap();
        super::tell(&bench.context, &app, true).unwrap();
    }

    fn hear(house: &House, from: &House) {
        house.pull(from);
        house.run(&["threads"]).ok();
    }

    #[test]
    fn only_reading_in_a_thread_is_told() {
        let ann = House::founder("Ann");
        let bob = ann.neighbour("Bob");
        let phone = bob.second();
        let note = ann.note("N", "text").full();
        for device in [&bob, &phone] {
            device.pull(&ann);
            assert_eq!(unread(device), 1);
        }
        for line in [&["read", &note, "--json"][..], &["inbox"], &["search", "text"], &["threads"]]
        {
            bob.on_terminal(line).ok();
        }
        bob.run(&["read", &note]).ok();
        phone.pull(&bob);
        assert_eq!(unread(&phone), 1);
        bob.on_terminal(&["read", &note]).ok();
        phone.pull(&bob);
        assert_eq!(unread(&phone), 0);
        ann.pull(&bob);
        assert_eq!(unread(&ann), 0);
    }

    #[test]
    fn a_draft_is_gone_on_with_on_the_other_device() {
        let ann = House::founder("Ann");
        let phone = ann.second();
        keep(&ann, "ask", "Half a thought");
        keep(&ann, "page question k7qp-3m2x", "of a page");
        tell(&ann);
        hear(&phone, &ann);
        assert_eq!(draft(&phone, "ask").unwrap(), "Half a thought");
        assert_eq!(draft(&phone, "page question k7qp-3m2x"), None);

        // Each goes on with it: the one that says something else is put beside.
        keep(&phone, "ask", "A whole thought");
        tell(&phone);
        keep(&ann, "ask", "Another thought");
        hear(&ann, &phone);
        assert_eq!(draft(&ann, "ask").unwrap(), "Another thought");
        assert_eq!(draft(&ann, "ask-2").unwrap(), "A whole thought");
        assert!(ann.run(&["threads"]).err.contains("ask-2.md"));

        // Published here, gone there.
        Drafts::new(ann.home.drafts()).draft("ask-2").published();
        tell(&ann);
        hear(&phone, &ann);
        assert_eq!(draft(&phone, "ask").unwrap(), "Another thought");
        assert_eq!(draft(&phone, "ask-2"), None);
        Drafts::new(phone.home.drafts()).draft("ask").published();
        tell(&phone);
        hear(&ann, &phone);
        assert_eq!(draft(&ann, "ask"), None);
    }

    #[test]
    fn a_directory_that_is_gone_takes_no_draft_with_it() {
        let ann = House::founder("Ann");
        let phone = ann.second();
        keep(&ann, "ask", "Half a thought");
        tell(&ann);
        hear(&phone, &ann);
        std::fs::remove_dir_all(ann.home.drafts()).unwrap();
        tell(&ann);
        assert_eq!(draft(&ann, "ask").unwrap(), "Half a thought");
        hear(&phone, &ann);
        assert_eq!(draft(&phone, "ask").unwrap(), "Half a thought");
    }

    #[test]
    fn nothing_is_put_into_a_draft_that_is_open() {
        let ann = House::founder("Ann");
        let phone = ann.second();
        keep(&ann, "ask", "Half a thought");
        tell(&ann);
        hear(&phone, &ann);
        keep(&ann, "ask", "A whole thought");
        tell(&ann);
        let open = std::fs::File::open(phone.home.drafts()).unwrap();
        open.lock_shared().unwrap();
        hear(&phone, &ann);
        assert_eq!(draft(&phone, "ask").unwrap(), "Half a thought");
        drop(open);
        hear(&phone, &ann);
        assert_eq!(draft(&phone, "ask").unwrap(), "A whole thought");
    }
}
