//! Room: which files go when there is none.
//!
//! 1. What a member added and what somebody pinned never goes.
//! 2. Of the rest, first goes what somebody else is known to have; then by last use, the oldest first.
//! 3. What is only here goes last, and is said to be.

use lanai_crdt::id::FileRoot;

/// A file on the disk, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub root: FileRoot,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Own, pinned, or on its way: it stays.
    pub stays: bool,
    /// Whether somebody else is known to have it.
    pub elsewhere: bool,
    /// When it was last added, fetched, or written out, Unix milliseconds.
    pub used_ms: u64,
}

/// What is to be dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In this order.
    pub drop: Vec<FileRoot>,
    /// Bytes that are over the quota even then.
    pub over: u64,
}

/// The order in which files would go, those that stay left out.
pub fn order(files: &[Kept]) -> Vec<Kept> {
    let mut going: Vec<Kept> = files.iter().filter(|file| !file.stays).copied().collect();
    going.sort_by_key(|file| (!file.elsewhere, file.used_ms, file.root));
    going
}

/// What has to go so that all files and `more` bytes fit into the quota.
pub fn plan(files: &[Kept], quota: u64, more: u64) -> Plan {
    let all = files.iter().fold(more, |sum, file| sum.saturating_add(file.bytes));
    let mut plan = Plan { drop: Vec::new(), over: all.saturating_sub(quota) };
    for file in order(files) {
        if plan.over == 0 {
            break;
        }
        plan.over = plan.over.saturating_sub(file.bytes);
        plan.drop.push(file.root);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(n: u8) -> FileRoot {
        FileRoot::new([n; 32])
    }

    fn kept(n: u8, bytes: u64, used_ms: u64) -> Kept {
        Kept { root: root(n), bytes, stays: false, elsewhere: true, used_ms }
    }

    #[test]
    fn the_longest_unused_go_first_and_no_more_than_must() {
        let files = [kept(1, 10, 300), kept(2, 10, 100), kept(3, 10, 200)];
        assert_eq!(plan(&files, 30, 0), Plan::default());
        assert_eq!(plan(&files, 30, 1), Plan { drop: vec![root(2)], over: 0 });
        assert_eq!(plan(&files, 30, 15).drop, [root(2), root(3)]);
    }

    #[test]
    fn what_stays_stays_even_over_the_quota_and_what_is_only_here_goes_last() {
        let files = [
            Kept { stays: true, ..kept(1, 100, 0) },
            Kept { elsewhere: false, ..kept(2, 10, 1) },
            kept(3, 10, 2),
        ];
        assert_eq!(plan(&files, 115, 0).drop, [root(3)]);
        assert_eq!(plan(&files, 50, 5), Plan { drop: vec![root(3), root(2)], over: 55 });
    }
}
