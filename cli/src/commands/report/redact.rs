//! Takes out of a text who and where, and leaves what happened.
//!
//! What looks like an id, a key, an address, a path or a name that this home knows is replaced; one and the
//! same thing by one and the same word throughout. Too much is taken out rather than too little: what has eight or
//! more digits of base32 goes, but for words of letters only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::Value;

/// Digits of base32 in a row that are an id.
const ID_DIGITS: usize = 8;
/// Names shorter than this are replaced as whole words only.
const SHORT_NAME: usize = 4;

/// Remembers what stands for what.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    /// In small letters, the longest first.
    names: Vec<String>,
    home: String,
    known: BTreeMap<String, String>,
    count: u64,
}

impl Redactor {
    pub(super) fn new(names: Vec<String>, home: &Path) -> Redactor {
        let mut names: Vec<String> = names
            .into_iter()
            .map(|name| name.trim().to_lowercase())
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names.dedup();
        Redactor { names, home: home.display().to_string(), ..Redactor::default() }
    }

    /// Places where something was taken out.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// All texts in it.
    pub(super) fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(all) => Value::Array(all.iter().map(|v| self.value(v)).collect()),
            Value::Object(all) => {
                let pairs = all.iter().map(|(key, v)| (key.clone(), self.value(v)));
                Value::Object(pairs.collect())
            }
            other => other.clone(),
        }
    }

    /// The text without who and where.
    pub(super) fn text(&mut self, text: &str) -> String {
        let text = match self.home.is_empty() {
            true => text.to_owned(),
            false => text.replace(&self.home, "/home-of-lanai"),
        };
        let text = self.without_names(&text);
        let mut out = String::with_capacity(text.len());
        let mut word = String::new();
        for c in text.chars().chain([' ']) {
            if c.is_alphanumeric() || matches!(c, '.' | ':' | '/' | '-' | '_' | '@' | '%' | '+') {
                word.push(c);
                continue;
            }
            let clean = self.word(&word);
            out.push_str(&clean);
            word.clear();
            out.push(c);
        }
        out.pop();
        out
    }

    fn stand_in(&mut self, kind: &str, what: &str) -> String {
        self.count += 1;
        if let Some(known) = self.known.get(what) {
            return known.clone();
        }
        let number =
            self.known.values().filter(|v| v.starts_with(&format!("<{kind}-"))).count() + 1;
        let word = format!("<{kind}-{number}>");
        self.known.insert(what.to_owned(), word.clone());
        word
    }

    fn without_names(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for name in self.names.clone() {
            let mut from = 0;
            // Small letters may have other lengths: then the text is searched as it is.
            while let Some(at) = find(&text, &name, from) {
                let end = at + name.len();
                let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                let inside = is_word(text.get(..at).and_then(|t| t.chars().next_back()))
                    || is_word(text.get(end..).and_then(|t| t.chars().next()));
                if inside && name.chars().count() < SHORT_NAME {
                    from = end;
                    continue;
                }
                let word = self.stand_in("name", &name);
                text.replace_range(at..end, &word);
                from = at + word.len();
            }
        }
        text
    }

    fn word(&mut self, word: &str) -> String {
        let core = word.trim_end_matches([':', '.', ',']);
        let tail = word.get(core.len()..).unwrap_or_default();
        let clean = self.core(core);
        format!("{clean}{tail}")
    }

    fn core(&mut self, word: &str) -> String {
        if word.is_empty() || word.starts_with("/home-of-lanai") {
            return word.to_owned();
        }
        if word.contains('@') {
            return self.stand_in("mail", word);
        }
        if word.starts_with("/ip") || word.starts_with("/dns") {
            self.count += 1;
            return multiaddr(word);
        }
        if let Some(kind) = address(word) {
            self.count += 1;
            return format!("<{kind}>");
        }
        if word.starts_with('/') {
            return self.stand_in("path", word);
        }
        // Parts between signs: `device=abcd-efgh` has none that count, `a/b` two.
        let pieces: Vec<String> = word.split('/').map(|piece| self.piece(piece)).collect();
        pieces.join("/")
    }

    fn piece(&mut self, piece: &str) -> String {
        let is_time = piece.contains(':') && piece.starts_with(|c: char| c.is_ascii_digit());
        let digits: String = piece.chars().filter(|c| *c != '-').collect();
        let is_base32 = digits.chars().all(|c| {
            c.is_ascii_alphanumeric() && !matches!(c.to_ascii_lowercase(), 'i' | 'l' | 'o' | 'u')
        });
        let is_number = digits.chars().all(|c| c.is_ascii_digit());
        let is_long = digits.len() >= 32 && digits.chars().all(|c| c.is_ascii_alphanumeric());
        // Of eight letters in a row that could be an id most are a word.
        let groups = || piece.contains('-') && piece.split('-').all(|group| group.len() == 4);
        let no_word = digits.len() >= 20 || digits.contains(|c: char| c.is_ascii_digit());
        let is_id = is_base32 && digits.len() >= ID_DIGITS && (no_word || groups());
        if is_long || (is_id && !is_number && !is_time) {
            return self.stand_in("id", &digits.to_lowercase());
        }
        piece.to_owned()
    }
}

fn find(text: &str, name: &str, from: usize) -> Option<usize> {
    let lower = text.to_lowercase();
    let searched = if lower.len() == text.len() { lower.as_str() } else { text };
    Some(from + searched.get(from..)?.find(name)?)
}

/// An address by its kind: `/ip4/private/udp/quic-v1`.
fn multiaddr(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('/').skip(1);
    while let Some(part) = parts.next() {
        let value = match part {
            "ip4" | "ip6" => {
                let ip = parts.next().and_then(|ip| ip.parse().ok());
                ip.map_or("?", kind)
            }
            "dns" | "dns4" | "dns6" | "dnsaddr" | "p2p" | "tcp" | "udp" => {
                parts.next();
                ""
            }
            "quic-v1" | "ws" | "wss" | "p2p-circuit" => "",
            _ => break,
        };
        out.push('/');
        out.push_str(part);
        if !value.is_empty() {
            out.push('/');
            out.push_str(value);
        }
    }
    format!("<{out}>")
}

fn kind(ip: IpAddr) -> &'static str {
    match ip {
        ip if ip.is_loopback() => "loopback",
        ip if ip.is_unspecified() => "any",
        IpAddr::V4(ip) if ip.is_private() => "private",
        IpAddr::V4(ip) if ip.is_link_local() => "link-local",
        IpAddr::V6(ip) if ip.is_unicast_link_local() => "link-local",
        IpAddr::V6(ip) if ip.is_unique_local() => "private",
        _ => "public",
    }
}

fn address(word: &str) -> Option<String> {
    let bare = word.split('%').next().unwrap_or(word);
    let ip = bare.parse::<IpAddr>().ok().or_else(|| Some(bare.parse::<SocketAddr>().ok()?.ip()))?;
    let family = if ip.is_ipv4() { "ip4" } else { "ip6" };
    Some(format!("{family}-{}", kind(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let names = vec!["Ana Lee".into(), "Bo".into(), "The Porch".into(), String::new()];
        Redactor::new(names, Path::new("/home/ana/.local/share/lanai"))
    }

    #[test]
    fn who_and_where_go_and_what_happened_stays() {
        let mut r = redactor();
        for (text, clean) in [
            ("node started", "node started"),
            ("Ana Lee: the exchange failed", "<name-1>: the exchange failed"),
            ("ana lee and Bo, not about", "<name-1> and <name-2>, not about"),
            ("of the porch, THE PORCH", "of <name-3>, <name-3>"),
            (
                "at 10.0.0.7:4001 and 8.8.8.8, ::1",
                "at <ip4-private> and <ip4-public>, <ip6-loopback>",
            ),
            (
                "listening on /ip4/192.168.1.5/udp/4001/quic-v1/p2p/12D3KooWMvyvKxYcy9mjbFbXcogFSCvENzQ62ogRxHKZaksFCkAp",
                "listening on </ip4/private/udp/quic-v1/p2p>",
            ),
            ("device=4r6k-92ma went", "device=<id-1> went"),
            ("4R6K92MA again, and 0123456789abcdefghjkmnpqrstvwxyz", "<id-1> again, and <id-2>"),
            ("/home/ana/.local/share/lanai/store.db: locked", "/home-of-lanai/store.db: locked"),
            ("read /etc/passwd", "read <path-1>"),
            ("ana@example.org wrote", "<mail-1> wrote"),
            ("2026-11-30T02:31:07Z 1234567890 bytes", "2026-11-30T02:31:07Z 1234567890 bytes"),
        ] {
            assert_eq!(r.text(text), clean);
        }
        assert!(r.count() >= 14);
    }

    #[test]
    fn values_are_cleaned_all_through() {
        let value =
            serde_json::json!({ "peers": [{ "device": "4r6k92ma4r6k92ma", "rtt_ms": 1.5 }] });
        let clean = redactor().value(&value);
        assert_eq!(clean.to_string(), r#"{"peers":[{"device":"<id-1>","rtt_ms":1.5}]}"#);
    }
}
