//! The numbers of the kinds. All kinds of version 1 have theirs, in use or not yet.

use crate::entry::Class;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal in $class:ident, $word:literal;)+) => {
        /// What a payload is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $name,)+ }

        impl Kind {
            /// Every kind, by number.
            pub const ALL: &[Kind] = &[$(Kind::$name,)+];

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Kind::$name => $number,)+ }
            }

            /// The kind with this number.
            pub const fn from_number(n: u16) -> Option<Kind> {
                match n { $($number => Some(Kind::$name),)+ _ => None }
            }

            /// The only class in which it may stand.
            pub const fn class(self) -> Class {
                match self { $(Kind::$name => Class::$class,)+ }
            }

            /// Its name in documents, JSON and logs.
            pub const fn word(self) -> &'static str {
                match self { $(Kind::$name => $word,)+ }
            }
        }
    };
}

kinds! {
    /// Founds a community.
    Genesis = 1 in Roster, "genesis";
    /// A one-time key that lets somebody in.
    Ticket = 2 in Roster, "ticket";
    /// Closes a ticket.
    TicketClose = 3 in Roster, "ticket-close";
    /// Admits a newcomer.
    Admit = 4 in Roster, "admit";
    /// Grants a role.
    Role = 5 in Roster, "role";
    /// Enrols a further device.
    AddDevice = 6 in Roster, "device";
    /// Removes a member, a role or a device.
    Remove = 7 in Roster, "remove";
    /// Opens a motion.
    Motion = 8 in Roster, "motion";
    /// Endorses a motion.
    Endorse = 9 in Roster, "endorse";
    /// Enacts a motion.
    Enact = 10 in Roster, "enact";
    /// Joins roster heads.
    Checkpoint = 11 in Roster, "checkpoint";
    /// Takes entries back in that a cut left out.
    Accept = 12 in Roster, "accept";
    /// A new epoch key, by its id.
    Epoch = 13 in Roster, "epoch";
    /// An epoch key sealed to devices.
    Seal = 14 in Roster, "seal";
    /// Two entries with one place in a log (reserved).
    ForkProof = 15 in Roster, "fork-proof";
    /// Makes a pending newcomer a member.
    Restore = 16 in Roster, "restore";
    /// Takes a removed member back.
    Readmit = 17 in Roster, "readmit";
    /// The reason of a roster act.
    Reason = 32 in Act, "reason";
    /// The community's name and charter.
    Community = 33 in Act, "community";
    /// Withdraws an own post.
    Withdraw = 34 in Act, "withdraw";
    /// Folds a post away.
    Hide = 35 in Act, "hide";
    /// Keeps a thread at the head of lists.
    Pin = 36 in Act, "pin";
    /// Shows a thread or post to everybody.
    Feature = 37 in Act, "feature";
    /// Splits, merges, moves or retitles a thread.
    ThreadOp = 38 in Act, "thread-op";
    /// Opens a side talk.
    SideOpen = 39 in Act, "side-open";
    /// Lets more members or devices into a side talk.
    SideSeal = 40 in Act, "side-seal";
    /// Opens a thread that asks.
    Ask = 64 in Post, "ask";
    /// Opens a thread that asks nothing.
    Note = 65 in Post, "note";
    /// A reply or an outcome.
    Post = 66 in Post, "post";
    /// New text for an own post.
    Edit = 67 in Post, "edit";
    /// Something said in a side talk.
    SideSay = 68 in Post, "side-say";
    /// One change to a page.
    Weave = 96 in Weave, "weave";
    /// A page started afresh from its text.
    Generation = 97 in Weave, "generation";
    /// A proposed wording of a question.
    Reframe = 98 in Weave, "reframe";
    /// Who a member is.
    Profile = 128 in Light, "profile";
    /// Thanks, helped, been there.
    React = 129 in Light, "react";
    /// State of an ask; a post as part of the answer.
    Mark = 130 in Light, "mark";
    /// A tag of a thread.
    Tag = 131 in Light, "tag";
    /// State shared among one's own devices.
    OwnState = 132 in Light, "own-state";
    /// Volunteers to look after a topic.
    Tend = 133 in Light, "tend";
    /// Manifest of a file.
    File = 160 in File, "file";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_round_trip() {
        for k in Kind::ALL {
            assert_eq!(Kind::from_number(k.number()), Some(*k));
        }
        assert!(Kind::ALL.is_sorted_by(|a, b| a.number() < b.number()));
        assert_eq!(Kind::from_number(0), None);
    }
}
