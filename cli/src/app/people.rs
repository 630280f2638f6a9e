//! Names: how a member is shown, and which member a typed name means.
//!
//! Names are not unique, and one can be made to look like another's. So a name that somebody else
//! could be taken for is shown with the *key mark*: the short id of the member, which cannot be
//! copied. A member is never found by a name that fits two.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use lanai_crdt::id::{EntryId, IdPrefix, MemberId};
use lanai_crdt::text::{clean_line, skeleton};
use serde::Serialize;

use crate::error::CliError;
use crate::layout::{Style, Text};

/// From this many members on, every name is shown with its key mark: comparing all names with each
/// other would take longer than reading.
const MANY: usize = 4000;

/// Candidates listed for a name that fits several.
const MAX_CANDIDATES: usize = 12;

/// The members of the community by their names.
#[derive(Debug, Default)]
pub struct People {
    names: BTreeMap<MemberId, String>,
    me: Option<MemberId>,
    /// Skeletons that belong to more than one member; made when first asked for.
    alike: OnceCell<BTreeSet<String>>,
}

/// A person in an answer in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The member id, whole.
    pub id: String,
    /// The name, which is not unique; empty where no profile has come yet.
    pub name: String,
}

impl People {
    /// From the names that are known. `me` is the member who reads.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = (MemberId, String)>, me: Option<MemberId>) -> Self {
        Self { names: names.into_iter().collect(), me, alike: OnceCell::new() }
    }

    /// The member who reads.
    #[must_use]
    pub fn me(&self) -> Option<MemberId> {
        self.me
    }

    /// All members whose names are known.
    pub fn iter(&self) -> impl Iterator<Item = (&MemberId, &str)> {
        self.names.iter().map(|(id, name)| (id, name.as_str()))
    }

    /// The name as its bearer wrote it, uncleaned.
    #[must_use]
    pub fn name(&self, id: &MemberId) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// For JSON.
    #[must_use]
    pub fn person(&self, id: &MemberId) -> Person {
        Person { id: id.full(), name: self.name(id).unwrap_or_default().to_owned() }
    }

    /// The name for the eye, with the key mark where another member could be taken for this one.
    #[must_use]
    pub fn shown(&self, id: &MemberId) -> Text {
        let Some(name) = self.name(id).filter(|name| !clean_line(name).trim().is_empty()) else {
            return Text::styled(Style::Name, id.short());
        };
        let text = Text::styled(Style::Name, name);
        if self.is_doubtful(name) { text.then(mark(id)) } else { text }
    }

    /// As [`shown`](Self::shown), with "(you)" for the reader.
    #[must_use]
    pub fn shown_to_me(&self, id: &MemberId) -> Text {
        let text = self.shown(id);
        if self.me == Some(*id) { text.with(Style::Dim, " (you)") } else { text }
    }

    /// Whether another member's name is this one or looks like it.
    #[must_use]
    pub fn is_doubtful(&self, name: &str) -> bool {
        self.names.len() >= MANY || self.alike().contains(&skeleton(name))
    }

    /// Members whose name looks like `name`, other than `but`.
    pub fn lookalikes(&self, name: &str, but: Option<MemberId>) -> Vec<MemberId> {
        let wanted = skeleton(name);
        let alike = |(id, other): (&MemberId, &String)| {
            (Some(*id) != but && skeleton(other) == wanted).then_some(*id)
        };
        self.names.iter().filter_map(alike).collect()
    }

    fn alike(&self) -> &BTreeSet<String> {
        self.alike.get_or_init(|| {
            let mut seen: HashMap<String, bool> = HashMap::new();
            for name in self.names.values() {
                seen.entry(skeleton(name)).and_modify(|twice| *twice = true).or_insert(false);
            }
            seen.into_iter().filter_map(|(name, twice)| twice.then_some(name)).collect()
        })
    }

    /// The member that somebody typed: the whole name, else the beginning of a word in the name or
    /// of the id; capitals are not told apart.
    ///
    /// # Errors
    ///
    /// Not found; or ambiguous, with the candidates.
    pub fn find(&self, typed: &str) -> Result<MemberId, CliError> {
        let wanted = typed.trim().to_lowercase();
        if wanted == "me"
            && let Some(me) = self.me
        {
            return Ok(me);
        }
        let folded = |name: &str| clean_line(name).trim().to_lowercase();
        let whole: Vec<MemberId> = self
            .names
            .iter()
            .filter(|(_, name)| folded(name) == wanted)
            .map(|(id, _)| *id)
            .collect();
        let found = if whole.is_empty() { self.beginning_with(&wanted, typed) } else { whole };
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(CliError::not_found(format!("there is no member \"{typed}\" here"))
                .hint("`lanai who` lists all members")),
            several => Err(self.ambiguous(typed, several)),
        }
    }

    fn beginning_with(&self, wanted: &str, typed: &str) -> Vec<MemberId> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let prefix = IdPrefix::parse(typed).ok();
        let fits = |(id, name): (&MemberId, &String)| {
            let name = clean_line(name).to_lowercase();
            let word = name.match_indices(wanted).any(|(at, _)| {
                name.get(..at).is_some_and(|before| !before.ends_with(char::is_alphanumeric))
            });
            (word || prefix.as_ref().is_some_and(|p| p.matches(id.as_bytes()))).then_some(*id)
        };
        self.names.iter().filter_map(fits).collect()
    }

    fn ambiguous(&self, typed: &str, several: &[MemberId]) -> CliError {
        let line = |id: &MemberId| {
            format!("{}  {}", id.short(), clean_line(self.name(id).unwrap_or_default()))
        };
        let lines: Vec<String> = several.iter().map(line).collect();
        ambiguous(format!("\"{typed}\" fits several members"), &lines)
            .hint("use the beginning of the id")
    }
}

/// The short id that stands beside a name which somebody else has too.
fn mark(id: &MemberId) -> Text {
    Text::styled(Style::Dim, format!(" [{}]", id.short()))
}

/// The one of several things whose id begins as somebody typed. `what` is one of them, in words;
/// `hint` says where they are listed.
///
/// # Errors
///
/// Not found; or ambiguous, with the candidates.
pub(crate) fn by_id<'t, T>(
    what: &str,
    typed: &str,
    hint: &str,
    all: impl IntoIterator<Item = &'t T>,
    id: impl Fn(&T) -> &[u8; 32],
) -> Result<&'t T, CliError> {
    let prefix = IdPrefix::parse(typed).ok();
    let fits = |thing: &&T| prefix.as_ref().is_some_and(|p| p.matches(id(thing)));
    let found: Vec<&T> = all.into_iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let message = format!("no {what} has an id that begins with \"{typed}\"");
            Err(CliError::not_found(message).hint(hint))
        }
        several => {
            let ids: Vec<String> = several.iter().map(|t| EntryId::new(*id(t)).short()).collect();
            Err(ambiguous(format!("\"{typed}\" fits several {what}s"), &ids)
                .hint("type more of the id"))
        }
    }
}

/// An error that lists what a typed text may mean.
pub(crate) fn ambiguous(what: String, candidates: &[String]) -> CliError {
    let mut message = what + ":";
    for line in candidates.iter().take(MAX_CANDIDATES) {
        message.push('\n');
        message.push_str(line);
    }
    if let Some(more) = candidates.len().checked_sub(MAX_CANDIDATES).filter(|more| *more > 0) {
        message.push_str(&format!("\nand {more} more"));
    }
    CliError::ambiguous(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn id(byte: u8) -> MemberId {
        MemberId::new([byte; 32])
    }

    fn people(names: &[&str]) -> People {
        let names = (1..).zip(names).map(|(n, name)| (id(n), (*name).to_owned()));
        People::new(names, Some(id(1)))
    }

    #[test]
    fn a_name_alone_has_no_mark_and_a_doubtful_one_has() {
        let alone = people(&["Ann Lee", "Bob"]);
        assert_eq!(alone.shown(&id(1)).to_plain(), "Ann Lee");
        assert_eq!(alone.shown_to_me(&id(1)).to_plain(), "Ann Lee (you)");
        let masked = people(&["Ann Lee", "Bob", "A\u{200b}nn L\u{435}e"]);
        assert_eq!(masked.shown(&id(1)).to_plain(), format!("Ann Lee [{}]", id(1).short()));
        assert_eq!(masked.shown(&id(2)).to_plain(), "Bob");
        assert_eq!(masked.lookalikes("ann lee", Some(id(1))), [id(3)]);
    }

    #[test]
    fn a_name_that_shows_nothing_is_replaced_by_the_id() {
        let people = people(&["\u{200b}"]);
        assert_eq!(people.shown(&id(1)).to_plain(), id(1).short());
        assert_eq!(people.shown(&id(9)).to_plain(), id(9).short());
        assert_eq!(people.person(&id(9)).name, "");
    }

    #[test]
    fn members_are_found_by_name_word_or_id() {
        let people = people(&["Ann Lee", "Bob Leeds", "Anna"]);
        assert_eq!(people.find("ann lee").unwrap(), id(1));
        assert_eq!(people.find("LEEDS").unwrap(), id(2));
        assert_eq!(people.find("anna").unwrap(), id(3));
        assert_eq!(people.find("me").unwrap(), id(1));
        assert_eq!(people.find(&id(2).short()).unwrap(), id(2));
        let missing = people.find("zed").unwrap_err();
        assert_eq!((missing.exit, missing.code), (Exit::NotFound, "not-found"));
        assert_eq!(people.find("").unwrap_err().code, "not-found");
        let several = people.find("lee").unwrap_err();
        assert_eq!((several.exit, several.code), (Exit::NotFound, "ambiguous"));
        assert!(several.message.contains("Bob Leeds") && several.message.contains("Ann Lee"));
    }

    #[test]
    fn long_lists_of_candidates_are_cut() {
        let names: Vec<String> = (0..40).map(|n| format!("Ann {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = people(&names).find("ann").unwrap_err();
        assert_eq!(error.message.lines().count(), 2 + MAX_CANDIDATES);
        assert!(error.message.ends_with("and 28 more"));
    }
}
