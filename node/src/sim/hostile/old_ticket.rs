//! Lets people in by a ticket that is used up: it keeps the secret of its own one-use ticket and
//! admits, by itself, as many new devices as it likes.
//!
//! An admission counts as long as the ticket has uses, the smallest (depth, id) first; the others are
//! pending everywhere, and what their devices write counts nowhere.

use lanai_crdt::entry::DeviceSecret;
use lanai_crdt::id::EntryId;
use lanai_crdt::payload::{Admit, Body, JoinRecord, Role};
use lanai_crdt::seal::SealingSecret;

use super::Hostile;
use crate::sim::forge::Forgery;
use crate::sim::node::{Me, Shown};

/// Newcomers a turn.
const NEWCOMERS: usize = 3;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OldTicket {
    ticket: Option<(EntryId, [u8; 32])>,
}

impl Hostile for OldTicket {
    fn turn(&mut self, me: &mut Me, now: u64) {
        if self.ticket.is_none() {
            self.ticket = me.ticket(1, Role::Member, None, now).ok();
        }
        let (Some((ticket, secret)), Some(own)) = (self.ticket, Forgery::next_of(me)) else {
            return;
        };
        let mut rng = me.rng.clone();
        // Each stands alone on the ticket, as if the others did not exist: the log forks as well.
        for _ in 0..NEWCOMERS {
            let device = DeviceSecret::from_bytes(&rng.array());
            let record = JoinRecord {
                community: own.community,
                ticket,
                device: device.device(),
                sealing: *SealingSecret::from_bytes(&rng.array()).public().as_bytes(),
                nonce: rng.array(),
            };
            let signed = record.sign(&device, Some(&secret));
            let body = Body::Admit(Admit { record: signed.encode().into() });
            let forgery = Forgery { heads: vec![ticket], refs: vec![ticket], ..own.clone() };
            if let Some(entry) = forgery.sign(&body, &me.author.device, None, &mut rng) {
                me.extra.insert(entry.verified.id(), Shown { entry, to: u64::MAX });
            }
        }
        me.rng = rng;
    }
}
