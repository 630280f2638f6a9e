//! Bounds what peers can make this node write to its log.

use std::time::{Duration, Instant};

/// Lines in one window.
const LINES: u32 = 30;
/// Length of a window.
const WINDOW: Duration = Duration::from_secs(60);

/// Lets so many lines a minute through and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    from: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Throttle {
    /// Whether a line may be written now. The number is how many were left out before it.
    pub(super) fn allow(&mut self, now: Instant) -> Option<u64> {
        if self.from.is_none_or(|from| now.saturating_duration_since(from) >= WINDOW) {
            self.from = Some(now);
            self.lines = 0;
        }
        if self.lines >= LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    /// Writes a warning, or counts it.
    pub(super) fn warn(&mut self, line: impl FnOnce() -> String) {
        match self.allow(Instant::now()) {
            Some(0) => tracing::warn!("{}", line()),
            Some(left_out) => tracing::warn!(left_out, "{}", line()),
            None => {}
        }
    }

    /// Writes what is no reason to worry, or counts it.
    pub(super) fn info(&mut self, line: impl FnOnce() -> String) {
        if self.allow(Instant::now()).is_some() {
            tracing::info!("{}", line());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_are_counted_and_told_later() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        let let_through = (0..1_000).filter(|_| throttle.allow(now).is_some()).count();
        assert_eq!(let_through, LINES as usize);
        assert_eq!(throttle.allow(now + WINDOW), Some(1_000 - u64::from(LINES)));
        assert_eq!(throttle.allow(now + WINDOW), Some(0));
    }
}
