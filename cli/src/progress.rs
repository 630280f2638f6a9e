//! How a long work comes along.
//!
//! A bar on a terminal. Elsewhere (a log, a test, a pipe) a plain line every few seconds. With
//! `-q` nothing. Always on standard error.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lanai_crdt::text::clean_line;

use crate::time::span;

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(5);
/// Time between two turns of the spinner.
const TURN: Duration = Duration::from_millis(120);

/// A work in progress. Gone from the terminal when it is dropped.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines(Meter),
    Nothing,
}

impl Progress {
    pub(crate) fn new(
        label: &str,
        total: Option<u64>,
        unit: &'static str,
        terminal: bool,
        quiet: bool,
    ) -> Self {
        let label = clean_line(label).into_owned();
        let shown = if quiet {
            Shown::Nothing
        } else if terminal {
            Shown::Bar(bar(label, total, unit))
        } else {
            Shown::Lines(Meter::new(label, total, unit, Instant::now()))
        };
        Self { shown }
    }

    /// How much is done by now.
    pub fn set(&mut self, done: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines(meter) => {
                if let Some(line) = meter.tick(done, Instant::now()) {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
            Shown::Nothing => {}
        }
    }

    /// That the whole turned out to be this much.
    pub fn set_total(&mut self, total: u64) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_length(total),
            Shown::Lines(meter) => meter.total = Some(total),
            Shown::Nothing => {}
        }
    }

    /// What is being done now; cleaned.
    pub fn label(&mut self, label: &str) {
        let label = clean_line(label).into_owned();
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_message(label),
            Shown::Lines(meter) => meter.label = label,
            Shown::Nothing => {}
        }
    }

    /// Runs `talk`, which writes to the terminal, while the bar is out of the way.
    pub fn aside<R>(&self, talk: impl FnOnce() -> R) -> R {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(talk),
            Shown::Lines(_) | Shown::Nothing => talk(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(label: String, total: Option<u64>, unit: &str) -> ProgressBar {
    let template = if total.is_some() {
        format!(
            "{{msg}} [{{bar:24}}] {{human_pos}}/{{human_len}} {unit}, {{per_sec:0}}, {{eta}} left"
        )
    } else {
        format!("{{spinner}} {{msg}} {{human_pos}} {unit}, {{elapsed}}")
    };
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(total, target).with_style(style).with_message(label);
    bar.enable_steady_tick(TURN);
    bar
}

/// Decides when to print which line.
#[derive(Debug)]
struct Meter {
    label: String,
    total: Option<u64>,
    unit: &'static str,
    started: Instant,
    printed: Instant,
}

impl Meter {
    fn new(label: String, total: Option<u64>, unit: &'static str, now: Instant) -> Self {
        Self { label, total, unit, started: now, printed: now }
    }

    fn tick(&mut self, done: u64, now: Instant) -> Option<String> {
        if now.saturating_duration_since(self.printed) < EVERY {
            return None;
        }
        self.printed = now;
        let millis = now.saturating_duration_since(self.started).as_millis().max(1);
        let rate = u128::from(done) * 1000 / millis;
        let unit = self.unit;
        let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
        let left = match self.total {
            Some(total) if rate > 0 && total > done => {
                let seconds = u128::from(total - done).div_ceil(rate);
                format!(", {} left", span(u64::try_from(seconds).unwrap_or(u64::MAX)))
            }
            _ => String::new(),
        };
        Some(format!("{}: {done}{of} {unit}, {rate}/s{left}", self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_every_few_seconds_with_rate_and_time_left() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut meter = Meter::new("import".into(), Some(3000), "posts", start);
        assert_eq!(meter.tick(100, at(1)), None);
        assert_eq!(
            meter.tick(1000, at(5)).unwrap(),
            "import: 1000 of 3000 posts, 200/s, 10 s left"
        );
        assert_eq!(meter.tick(1100, at(9)), None);
        assert_eq!(meter.tick(3000, at(10)).unwrap(), "import: 3000 of 3000 posts, 300/s");
    }

    #[test]
    fn an_unknown_total_and_a_stand_still_are_fine() {
        let start = Instant::now();
        let mut meter = Meter::new("sync".into(), None, "entries", start);
        assert_eq!(meter.tick(0, start + EVERY).unwrap(), "sync: 0 entries, 0/s");
        meter.total = Some(10);
        assert_eq!(meter.tick(0, start + EVERY * 2).unwrap(), "sync: 0 of 10 entries, 0/s");
    }

    #[test]
    fn labels_are_cleaned() {
        let mut progress = Progress::new("a\u{1b}b", None, "x", false, false);
        let Shown::Lines(meter) = &progress.shown else { panic!("no lines") };
        assert_eq!(meter.label, "a␛b");
        progress.label("\u{202e}c");
        let Shown::Lines(meter) = &progress.shown else { panic!("no lines") };
        assert_eq!(meter.label, "c");
    }
}
