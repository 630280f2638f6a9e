//! The way of a session by news: what came on either side since both held the same.

use super::super::base::{Base, BaseToken, Equal, News, ShortNames, difference};
use super::super::digest::Nonce;
use super::*;

/// What is known while both sides tell what came.
#[derive(Debug)]
pub(super) struct Telling {
    base: Base,
    /// Digests differ only in what they say of payloads.
    same: bool,
    /// Names of what came here, ascending, each with its entry; `None` until the store has answered.
    mine: Option<Mine>,
    theirs: Option<News>,
}

#[derive(Debug)]
enum Mine {
    Came { names: Vec<u64>, ids: Vec<EntryId> },
    Whole,
}

impl Telling {
    pub(super) fn buffered(&self) -> usize {
        let names = |n: &Option<News>| match n {
            Some(News::Came(names)) => 8 * names.len(),
            _ => 0,
        };
        names(&self.theirs)
    }
}

impl Session {
    /// The nonces of both sides, the initiator's first.
    fn nonces(&self) -> Option<[Nonce; 2]> {
        let theirs = self.peer_nonce?;
        Some(match self.role {
            Role::Initiator => [self.nonce, theirs],
            Role::Responder => [theirs, self.nonce],
        })
    }

    /// The responder looks which of the bases in the initiator's HELLO it remembers: the newest.
    pub(super) fn choose_base(&mut self, named: &Hello) {
        for base in self.state.bases() {
            let name = Some(base.token.name(&named.nonce));
            if let Some(at) = named.bases.iter().position(|n| *n == name) {
                self.chosen = u8::try_from(at + 1).unwrap_or(0);
                self.common = Some(*base);
                return;
            }
        }
    }

    /// The initiator hears which of its bases the responder remembers.
    pub(super) fn hear_choice(&mut self, chosen: u8) {
        let at = usize::from(chosen).checked_sub(1);
        self.common = at.and_then(|at| self.state.bases().get(at).copied());
    }

    /// Both remember a base: asks the store what came since.
    pub(super) fn start_news(&mut self, base: Base, same: bool) {
        self.phase = Phase::News;
        self.telling = Some(Telling { base, same, mine: None, theirs: None });
        let limit = self.config.news.min(MAX_NEWS);
        self.queries.push_back(Query::News { after: base.upto, limit: limit + 1 });
    }

    /// The store's answer.
    pub(super) fn on_news_items(&mut self, items: Vec<SyncItem>) -> Result<(), SessionError> {
        let nonces = self.nonces();
        let (Some(telling), Some([a, b])) = (&mut self.telling, nonces) else {
            return Err(SessionError::Driver("news"));
        };
        let short = ShortNames::of_session(&a, &b);
        let mut named: Vec<(u64, EntryId)> =
            items.iter().map(|item| (short.of(&item.id), item.id)).collect();
        named.sort_unstable();
        let explained = telling.base.entries.checked_add(named.len() as u64);
        let fits = named.len() <= self.config.news.min(MAX_NEWS)
            && explained == Some(self.state.entries())
            && named.is_sorted_by(|(a, _), (b, _)| a < b);
        let news = if fits {
            let (names, ids): (Vec<u64>, Vec<EntryId>) = named.into_iter().unzip();
            telling.mine = Some(Mine::Came { names: names.clone(), ids });
            self.items = ItemSet::new(items);
            News::Came(names)
        } else {
            telling.mine = Some(Mine::Whole);
            News::Whole
        };
        put_frame(&mut self.out, FrameType::News, &news.encode());
        self.compare_news();
        Ok(())
    }

    /// The peer's news.
    pub(super) fn on_news(&mut self, news: News) -> Result<(), SessionError> {
        match &mut self.telling {
            Some(telling) if telling.theirs.is_none() => telling.theirs = Some(news),
            _ => return Err(SessionError::Unexpected(FrameType::News)),
        }
        self.compare_news();
        Ok(())
    }

    /// Once both have told: by news if that explains everything, or else by whole sets. Both sides come to
    /// the same decision, since each knows what both said.
    fn compare_news(&mut self) {
        let peer_entries = self.summary.peer_entries;
        let found = match &self.telling {
            Some(Telling { base, same, mine: Some(mine), theirs: Some(theirs) }) => {
                match (mine, theirs) {
                    (Mine::Came { names, ids }, News::Came(theirs))
                        if base.entries.checked_add(theirs.len() as u64) == Some(peer_entries) =>
                    {
                        let (lacking, alone) = difference(names, theirs);
                        let mut send: Vec<EntryId> =
                            alone.into_iter().filter_map(|at| ids.get(at).copied()).collect();
                        send.sort_unstable();
                        (*same || lacking > 0 || !send.is_empty()).then_some((lacking, send))
                    }
                    _ => None,
                }
            }
            _ => return,
        };
        self.telling = None;
        let Some((lacking, send)) = found else {
            self.items = ItemSet::default();
            return self.start_reconciliation();
        };
        self.summary.by_news = true;
        self.expected = Some(lacking as u64);
        self.peer_wants_done = !self.peer_digest.is_some_and(|d| d.wants_payloads);
        if self.state.wants_payloads() {
            self.queue_wants(true);
        }
        self.plan(&send);
        self.phase = Phase::Transfer;
    }

    /// Whether both sides hold the same now, as far as this side can tell: it has received, as new, just
    /// what it lacked, and the peer has taken all that it was sent.
    pub(super) fn equal(&self) -> Option<Equal> {
        let [a, b] = self.nonces()?;
        let s = self.summary();
        let mut equal = Equal {
            token: BaseToken::of_session(&a, &b),
            kept: self.common.map(|base| base.token),
            entries: self.state.entries(),
            received: 0,
            runs: 0,
        };
        if self.settled {
            return Some(equal);
        }
        let outgoing = self.outgoing.as_ref()?;
        let payloads = self.asked[1].checked_sub(self.unserved_payloads)?;
        let all_sent = !s.more
            && s.refused_by_peer == 0
            && s.unsendable == 0
            && outgoing.missing() == 0
            && outgoing.is_acked();
        let all_received = self.expected == Some(s.stored)
            && s.known == payloads
            && s.received == s.stored.saturating_add(s.known)
            && s.waiting == 0
            && s.refused.is_empty()
            && s.unserved == self.unserved_payloads;
        if !all_sent || !all_received {
            return None;
        }
        equal.received = s.stored;
        equal.entries = equal.entries.checked_add(s.stored)?;
        if s.by_news {
            equal.runs = self.common.map_or(0, |base| base.runs).saturating_add(1);
        }
        Some(equal)
    }
}
