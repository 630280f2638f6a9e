//! `lanai node metrics`: the node's numbers in the text format of Prometheus, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. No name, id or address is among the labels.

use std::fmt::Write as _;

use lanai_node::control::NodeStatus;
use lanai_node::store::Stats;

/// One number, with what it is.
fn put(out: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    // A string takes all that is written.
    let _never = write!(
        out,
        "# HELP lanai_{name} {help}\n# TYPE lanai_{name} {kind}\nlanai_{name} {value}\n"
    );
}

/// All numbers; those of the node where one runs.
pub(super) fn text(node: Option<&NodeStatus>, stats: &Stats) -> String {
    let mut out = String::new();
    put(&mut out, "up", "gauge", "Whether the node is running.", u8::from(node.is_some()));
    for (name, help, value) in [
        ("store_bytes", "Bytes of the store.", stats.bytes),
        ("store_entries", "Entries in the store.", stats.entries),
        ("store_posts", "Posts shown.", stats.posts),
        ("store_threads", "Threads shown.", stats.threads),
        ("store_unfolded", "Entries that are not indexed yet.", stats.unfolded),
        ("store_missing_payloads", "Entries whose text is not here.", stats.missing_payloads),
        ("store_holes", "Entries that are known of and not here.", stats.holes),
        ("store_locked", "Entries under a key that is not here.", stats.locked),
        (
            "store_waiting",
            "Entries that wait to hear who wrote them.",
            stats.waiting_for_device + stats.waiting_for_past,
        ),
    ] {
        put(&mut out, name, "gauge", help, value);
    }
    let Some(node) = node else { return out };
    put(&mut out, "uptime_seconds", "gauge", "Seconds since the node started.", node.uptime_s);
    put(&mut out, "peers_connected", "gauge", "Members' devices connected.", node.peers.len());
    let same = node.peers.iter().filter(|p| p.in_sync).count();
    put(&mut out, "peers_in_sync", "gauge", "Of these, holding the same.", same);
    put(&mut out, "peers_absent", "gauge", "Members' devices not connected.", node.absent.len());
    put(&mut out, "strangers", "gauge", "Nodes of others seen on this network.", node.strangers);
    for (what, value) in &node.counters {
        let name: String = what
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        let help = format!("Since the node started: {what}.");
        put(&mut out, &format!("{}_total", name.replace("__", "_")), "counter", &help, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_prometheus_reads_them() {
        let counters = vec![("gossip dropped, node behind".to_owned(), 3)];
        let node = NodeStatus { uptime_s: 7, counters, ..NodeStatus::default() };
        let text = text(Some(&node), &Stats { entries: 5, ..Stats::default() });
        assert!(text.contains("\nlanai_store_entries 5\n"), "{text}");
        assert!(text.contains("# TYPE lanai_gossip_dropped_node_behind_total counter\n"), "{text}");
        assert!(text.contains("\nlanai_gossip_dropped_node_behind_total 3\n"), "{text}");
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.starts_with("# HELP lanai_up"));
        assert!(super::text(None, &Stats::default()).contains("\nlanai_up 0\n"));
    }
}
