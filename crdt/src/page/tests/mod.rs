//! Pages, folded from entries in any order.

use std::collections::BTreeMap;

use super::*;

mod hostile;
mod orders;
mod rules;
mod views;

pub(super) const ASKER: u8 = 1;

pub(super) fn member(n: u8) -> MemberId {
    MemberId::new([n; 32])
}

pub(super) fn id(n: u16) -> EntryId {
    // Spread, so that the order of ids is not that of writing.
    let hash = blake3::hash(&n.to_be_bytes());
    EntryId::new(*hash.as_bytes())
}

pub(super) fn answer() -> PageRoot {
    PageRoot {
        thread: EntryId::new([7; 32]),
        kind: PageKind::Answer,
        author: member(ASKER),
        opening: None,
    }
}

pub(super) fn question(opening: &str) -> PageRoot {
    PageRoot { kind: PageKind::Question, opening: Some(opening.into()), ..answer() }
}

/// Writes weaves as honest members would.
pub(super) struct Desk {
    pub(super) root: PageRoot,
    pub(super) entries: Vec<PageEntry>,
    pub(super) last: BTreeMap<u8, EntryId>,
    next: u16,
}

impl Desk {
    pub(super) fn new(root: PageRoot) -> Desk {
        Desk { root, entries: Vec::new(), last: BTreeMap::new(), next: 0 }
    }

    /// The page of what `known` picks.
    pub(super) fn page(&self, known: impl Fn(&EntryId) -> bool) -> Page {
        let mut page = Page::new(self.root.clone());
        page.set_entries(self.entries.iter().filter(|e| known(&e.id)).cloned().collect());
        while page.step(100) > 0 {}
        page
    }

    pub(super) fn whole(&self) -> Page {
        self.page(|_| true)
    }

    pub(super) fn entry(&mut self, who: u8, deps: &[EntryId], body: PageBody) -> PageEntry {
        self.next += 1;
        let bound = match &body {
            PageBody::Weave(splices) => !splices.is_empty(),
            PageBody::Generation { .. } => true,
            PageBody::Reframe { .. } => false,
        };
        let entry = PageEntry {
            id: id(self.next),
            member: member(who),
            device: DeviceId::new([who; 32]),
            role: Role::Member,
            time: Hlc::from_millis(u64::from(self.next)),
            deps: deps.to_vec(),
            previous: self.last.get(&who).copied().filter(|_| bound),
            counts: true,
            body,
        };
        if bound {
            self.last.insert(who, entry.id);
        }
        entry
    }

    pub(super) fn add(&mut self, entry: PageEntry) -> EntryId {
        let id = entry.id;
        self.entries.push(entry);
        id
    }

    /// A weave by `who` on the text at `deps`.
    pub(super) fn weave(
        &mut self,
        who: u8,
        deps: &[EntryId],
        splices: &[(u32, u32, &str)],
    ) -> EntryId {
        let entry = self.entry(who, deps, PageBody::Weave(splices_of(splices)));
        self.add(entry)
    }

    /// `who`, who sees everything, makes `text` of the page.
    pub(super) fn write(&mut self, who: u8, text: &str) -> EntryId {
        let page = self.whole();
        let splices = splices_between(&page.text(), text).unwrap();
        let entry = self.entry(who, &page.heads(), PageBody::Weave(splices));
        self.add(entry)
    }
}

pub(super) fn splices_of(splices: &[(u32, u32, &str)]) -> Vec<Splice> {
    let of = |(at, delete, insert): &(u32, u32, &str)| Splice {
        at: *at,
        delete: *delete,
        insert: (*insert).into(),
    };
    splices.iter().map(of).collect()
}

pub(super) fn status(page: &Page, id: EntryId) -> Status {
    page.log().into_iter().find(|l| l.entry.id == id).unwrap().status
}

/// Numbers that look random and are the same in every run (xorshift64*).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n.max(1)
    }
}

/// Everything of a page that replicas must agree on.
pub(super) type Seen = (Vec<EntryId>, String, Vec<Span>, Vec<(EntryId, Status)>, [u8; 32]);

pub(super) fn seen(page: &Page) -> Seen {
    let log = page.log().into_iter().map(|l| (l.entry.id, l.status)).collect();
    (page.heads(), page.text(), page.blame(), log, page.hash())
}
