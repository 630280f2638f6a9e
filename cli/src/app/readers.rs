//! Who can read what is written.

use std::collections::BTreeSet;

use lanai_crdt::id::MemberId;
use lanai_crdt::text::clean_line;

use super::{App, People};
use crate::error::CliError;

/// Members that are named, at most; of more, how many there are.
const MAX_NAMED: usize = 8;

impl App {
    /// Who can read what is written, in a sentence: everybody, or those who take part in a side talk.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn who_can_read(
        &self,
        people: &People,
        readers: Option<&BTreeSet<MemberId>>,
    ) -> Result<String, CliError> {
        if let Some(readers) = readers {
            let names = people.names_of(readers);
            return Ok(format!(
                "Only {names} can read this. Others carry it sealed, and see who writes, when and how much."
            ));
        }
        let count = self.store.roster()?.members().filter(|m| !m.pending).count();
        let name = self.store.community_info()?.view.map(|view| view.name).unwrap_or_default();
        let name = clean_line(&name).into_owned();
        Ok(match count {
            1 => format!("You alone are in \"{name}\"; whoever joins can read this."),
            _ => format!("All {count} members of \"{name}\" can read this."),
        })
    }
}

impl People {
    /// `Ann, Bob and you`
    #[must_use]
    pub fn names_of(&self, members: &BTreeSet<MemberId>) -> String {
        let me = self.me().filter(|me| members.contains(me));
        let others = members.iter().filter(|m| Some(**m) != me);
        self.listed(others, me.map(|_| "you"))
    }

    /// `Ann, Bob and Cleo`, for everybody to read.
    #[must_use]
    pub fn names_for_all(&self, members: &BTreeSet<MemberId>) -> String {
        self.listed(members, None)
    }

    fn listed<'m>(
        &self,
        members: impl IntoIterator<Item = &'m MemberId>,
        last: Option<&str>,
    ) -> String {
        let mut names: Vec<String> =
            members.into_iter().map(|m| self.shown(m).to_plain()).collect();
        names.sort();
        if let Some(more) = names.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
            names.truncate(MAX_NAMED);
            names.push(format!("{more} more"));
        }
        names.extend(last.map(str::to_owned));
        match names.split_last() {
            None => "nobody".into(),
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        }
    }
}
