//! Values of options.

use std::time::Duration;

use clap::ValueEnum;

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Takes part
    Member,
    /// Tends topics: tags, pins, hides
    Lead,
    /// Admits and removes members
    Steward,
}

/// How far back newcomers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum History {
    /// Everything, to the first day
    #[default]
    All,
    /// What is written from their admission on
    Admission,
}

/// What one can say of a post without words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reaction {
    /// Thank you
    Thanks,
    /// It helped me
    Helped,
    /// I have been there too
    BeenThere,
}

/// What would help an asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Help {
    /// Facts
    Facts,
    /// A document or sample
    Document,
    /// Somebody to talk to
    Talk,
    /// Just to be heard
    Heard,
}

/// When a ticket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// This long from now.
    After(Duration),
    /// Not by itself.
    Never,
}

impl std::str::FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" { Ok(Self::Never) } else { parse_span(text).map(Self::After) }
    }
}

/// Longest span that makes sense anywhere: a hundred years.
const LONGEST: u64 = 100 * 365 * 86_400;

/// Reads a span of time: `90` or `90s`, `30m`, `12h`, `7d`, `2w`, `6mo` (of thirty days), `1y`.
///
/// # Errors
///
/// A message for the user, when it is none or longer than a hundred years.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "mo" => 30 * 86_400,
        "y" => 365 * 86_400,
        _ => return Err("write a span of time as 90s, 30m, 12h, 7d, 2w, 6mo or 1y".into()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "write a span of time as 90s, 30m, 12h, 7d, 2w, 6mo or 1y".to_owned())?;
    match number.checked_mul(unit) {
        Some(seconds) if seconds <= LONGEST => Ok(Duration::from_secs(seconds)),
        _ => Err("that is longer than a hundred years".into()),
    }
}

/// Reads a size.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    lanai_node::config::parse_size(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("1200", 1200),
            ("20kB", 20_000),
            ("5 MB", 5_000_000),
            ("1.5g", 1_500_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in
            ["", "kB", "-1", "1.", ".5k", "1x", "1.2345k", "99999999999999999999", "2000000 GB"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("90s", 90),
            ("30m", 1800),
            ("2w", 1_209_600),
            ("6mo", 15_552_000),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "s", "1x", "-1", "1.5h", "99999999999999999999", "36501d", "1 h"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!("never".parse(), Ok(Expiry::Never));
        assert_eq!("7d".parse(), Ok(Expiry::After(Duration::from_secs(604_800))));
    }
}
