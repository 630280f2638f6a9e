//! Writing to pages.

use lanai_crdt::id::EntryId;
use lanai_crdt::limits::{MAX_PAGE_BYTES, MAX_WEAVE_DEPS};
use lanai_crdt::page::{Page, splices_between};
use lanai_crdt::payload::{Body, Generation, PageKind, Reframe, Role, Run, Weave};
use lanai_crdt::seal::CryptoRng;
use rusqlite::Connection;

use super::super::append::{Author, NewEntry};
use super::super::rows::N;
use super::super::write::Ctx;
use super::super::{Store, StoreError};
use super::fold::{kind_number, whole_page};
use super::load::copies_of;
use super::thread_number;

/// Why something cannot be written to a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// No thread with this id is here, or it is a note and the page a question.
    #[error("there is no such page")]
    NoPage,
    /// The question belongs to who asked it, and to those who tend topics.
    #[error(
        "the question is written by who asked it, leads and stewards; anybody may propose a wording"
    )]
    NotEntitled,
    /// A generation is started by those who tend topics.
    #[error("only leads and stewards may start a page afresh")]
    NotLead,
    /// The text is as it was.
    #[error("nothing was changed")]
    Unchanged,
    /// Longer than a page may be.
    #[error("the text has {0} bytes, and a page may have {MAX_PAGE_BYTES}")]
    TooLong(usize),
    /// More changes at once than one weave may hold.
    #[error("too much was changed at once; save a part of it first")]
    TooMuch,
    /// The version that was edited is not part of the page.
    #[error("the version of the page that was edited is not here")]
    NoBase,
    /// Not a proposed wording of this question, or taken over already.
    #[error("this is no wording that waits to be taken over")]
    NoProposal,
}

/// A change to a page, as its writer means it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageEdit {
    /// The whole new text, and the heads of the text that was edited.
    Text {
        /// Heads of the text that the writer saw.
        base: Vec<EntryId>,
        /// What the writer made of it.
        text: String,
    },
    /// A proposed wording of the question.
    Propose {
        /// Heads of the text that the writer saw.
        base: Vec<EntryId>,
        /// The proposed wording.
        text: String,
        /// Why it is better put so.
        reason: Option<String>,
    },
    /// Takes a proposed wording over.
    Take(EntryId),
    /// Starts the page afresh from its text, so that its past need not be computed for ever.
    Renew,
}

impl Store {
    /// Writes a change to a page; gives the id of the entry that holds it. Weaves that join too
    /// many heads are written before it.
    ///
    /// # Errors
    ///
    /// [`PageError`] in [`StoreError::Page`], and those of [`Store::append`].
    pub fn write_page(
        &self,
        author: &Author,
        now_ms: u64,
        rng: &mut impl CryptoRng,
        thread: &EntryId,
        kind: PageKind,
        edit: PageEdit,
    ) -> Result<EntryId, StoreError> {
        self.own_write(author, now_ms, |ctx| {
            let t = thread_number(ctx.conn, thread)?.ok_or(PageError::NoPage)?;
            let waiting = pending(ctx.conn, t)?;
            ctx.fold(&waiting)?;
            let community = ctx.community;
            let keys = ctx.keys()?.clone();
            let page = whole_page(ctx.conn, &community, &keys, t, kind)?;
            let mut page = page.ok_or(PageError::NoPage)?;
            while page.step(usize::MAX) > 0 {}
            let thread = page.root().thread;
            let writer = Writer { kind, page: &mut page };
            let new = writer.entries(ctx, edit)?;
            let mut ids = Vec::new();
            for (body, deps) in new {
                let deps = deps.into_iter().map(|d| match d {
                    Dep::Is(id) => id,
                    Dep::Written(at) => ids.get(at).copied().unwrap_or(EntryId::ZERO),
                });
                let refs: Vec<EntryId> = std::iter::once(thread).chain(deps).collect();
                ids.extend(ctx.append(author, rng, vec![NewEntry::new(body, refs)])?);
            }
            let last = ids.last().copied().ok_or(PageError::Unchanged)?;
            let waiting = pending(ctx.conn, t)?;
            ctx.fold(&waiting)?;
            ctx.fold_page(t, kind)?;
            Ok(last)
        })
    }
}

/// What a new weave is built on.
#[derive(Debug, Clone, Copy)]
enum Dep {
    Is(EntryId),
    /// A weave written just before, by its place.
    Written(usize),
}

type NewWeave = (Body, Vec<Dep>);

struct Writer<'p> {
    kind: PageKind,
    page: &'p mut Page,
}

impl Writer<'_> {
    fn entries(self, ctx: &mut Ctx<'_>, edit: PageEdit) -> Result<Vec<NewWeave>, StoreError> {
        let standing = ctx.roster.roster().standing(&ctx.own).ok_or(StoreError::NotMember)?;
        let lead = standing.role >= Role::Lead;
        let entitled =
            self.kind == PageKind::Answer || lead || self.page.root().author == standing.member;
        match edit {
            PageEdit::Text { .. } | PageEdit::Take(_) if !entitled => {
                Err(PageError::NotEntitled.into())
            }
            PageEdit::Text { base, text } => self.text(ctx, base, text),
            PageEdit::Propose { base, text, reason } => self.propose(&base, &text, reason),
            PageEdit::Take(id) => self.take(&id),
            PageEdit::Renew if !lead => Err(PageError::NotLead.into()),
            PageEdit::Renew => self.renew(),
        }
    }

    fn text(
        self,
        ctx: &Ctx<'_>,
        mut base: Vec<EntryId>,
        mut text: String,
    ) -> Result<Vec<NewWeave>, StoreError> {
        let before = self.page.text_at(&base).ok_or(PageError::NoBase)?;
        if before == text {
            return Err(PageError::Unchanged.into());
        }
        check_length(&text)?;
        let own = self.page.heads_of(&ctx.own);
        if own.iter().any(|own| !self.page.covers(&base, own)) {
            let onto = self.page.reduce(&[&base[..], &own].concat());
            text = self.page.carry_over(&base, &text, &onto).ok_or(PageError::NoBase)?;
            base = onto;
        }
        let (mut new, deps) = join(&base, self.kind);
        let before = self.page.text_at(&base).ok_or(PageError::NoBase)?;
        let splices = splices_between(&before, &text).map_err(|_| PageError::TooMuch)?;
        if splices.is_empty() {
            return Err(PageError::Unchanged.into());
        }
        new.push((Body::Weave(Weave { page: self.kind, splices }), deps));
        Ok(new)
    }

    fn propose(
        self,
        base: &[EntryId],
        text: &str,
        reason: Option<String>,
    ) -> Result<Vec<NewWeave>, StoreError> {
        if self.kind != PageKind::Question {
            return Err(PageError::NoPage.into());
        }
        check_length(text)?;
        // A proposal joins nothing: only who may write the question does.
        let base = self.page.reduce(base).into_iter().take(MAX_WEAVE_DEPS).collect::<Vec<_>>();
        let before = self.page.text_at(&base).ok_or(PageError::NoBase)?;
        let splices = splices_between(&before, text).map_err(|_| PageError::TooMuch)?;
        if splices.is_empty() {
            return Err(PageError::Unchanged.into());
        }
        let deps = base.into_iter().map(Dep::Is).collect();
        Ok(vec![(Body::Reframe(Reframe { splices, reason }), deps)])
    }

    fn take(self, id: &EntryId) -> Result<Vec<NewWeave>, StoreError> {
        if !self.page.is_proposal(id) {
            return Err(PageError::NoProposal.into());
        }
        let heads = self.page.reduce(&[&self.page.heads()[..], &[*id]].concat());
        let (mut new, deps) = join(&heads, self.kind);
        new.push((Body::Weave(Weave { page: self.kind, splices: Vec::new() }), deps));
        Ok(new)
    }

    fn renew(self) -> Result<Vec<NewWeave>, StoreError> {
        let heads = self.page.heads();
        let (mut new, deps) = join(&heads, self.kind);
        let text = self.page.text();
        check_length(&text)?;
        let runs = self
            .page
            .blame()
            .into_iter()
            .map(|s| Run { length: s.length, source: (*s.source.as_bytes()).into() })
            .collect();
        new.push((Body::Generation(Generation { page: self.kind, text, runs }), deps));
        Ok(new)
    }
}

fn check_length(text: &str) -> Result<(), PageError> {
    if text.len() > MAX_PAGE_BYTES { Err(PageError::TooLong(text.len())) } else { Ok(()) }
}

/// Weaves that join more heads than one weave may name, and what the next one then names.
fn join(heads: &[EntryId], kind: PageKind) -> (Vec<NewWeave>, Vec<Dep>) {
    let mut new: Vec<NewWeave> = Vec::new();
    let mut deps: Vec<Dep> = heads.iter().copied().map(Dep::Is).collect();
    while deps.len() > MAX_WEAVE_DEPS {
        // One's own weaves must follow each other: each join takes the one before it along.
        let rest = deps.split_off(MAX_WEAVE_DEPS);
        new.push((Body::Weave(Weave { page: kind, splices: Vec::new() }), deps));
        deps = std::iter::once(Dep::Written(new.len() - 1)).chain(rest).collect();
    }
    (new, deps)
}

/// Entries of class 3 that wait to be opened, of a thread and the copies of its root.
pub(super) fn pending(conn: &Connection, t: i64) -> Result<Vec<N>, StoreError> {
    let mut out = Vec::new();
    for copy in copies_of(conn, t)? {
        let mut statement = conn.prepare_cached(
            "SELECT x.n FROM page_entries x JOIN todo d ON d.n = x.n WHERE x.t = ?1",
        )?;
        for n in statement.query_map([copy], |r| r.get(0))? {
            out.push(n?);
        }
    }
    Ok(out)
}

/// Whether a page waits to be folded.
pub(super) fn in_todo(conn: &Connection, t: i64, kind: PageKind) -> Result<bool, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT 1 FROM page_todo WHERE t = ?1 AND kind = ?2")?;
    for copy in copies_of(conn, t)? {
        if statement.exists((copy, kind_number(kind)))? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Ctx<'_> {
    /// Opens what waits for a page, and applies some of it.
    pub(super) fn fold_page_now(
        &mut self,
        thread: &EntryId,
        kind: PageKind,
    ) -> Result<(), StoreError> {
        let Some(t) = thread_number(self.conn, thread)? else { return Ok(()) };
        let waiting = pending(self.conn, t)?;
        self.fold(&waiting)?;
        if in_todo(self.conn, t, kind)? {
            self.fold_page(t, kind)?;
        }
        Ok(())
    }
}
