//! Dates as mails write them.
//!
//! RFC 5322 is what they should be; this also reads RFC 850 (`17-Jan-98`), asctime
//! (`Sat Jan 17 01:01:56 1998`), ISO 8601, a missing time or zone, names of zones, and comments.
//! The year is taken literally, so that a claim stays the claim: `0099` is the year 99, and what it
//! probably means is for [`plausible`](super::plausible) to say.

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    seconds: Option<i64>,
    zone: Option<i64>,
}

/// Unix seconds of a date as written in a mail; none if it makes no sense.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let text = without_comments(text);
    let mut fields = Fields::default();
    for word in text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty()) {
        fields.take(word)?;
    }
    fields.unix_seconds()
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_usize;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

impl Fields {
    /// Reads one word. None if it shows that this is no date.
    fn take(&mut self, word: &str) -> Option<()> {
        let first = word.chars().next()?;
        if word.contains(':') && first.is_ascii_digit() {
            if let Some((date, time)) = word.split_once(['T', 't']) {
                self.take_parts(date)?;
                return self.take_time(time);
            }
            return self.take_time(word);
        }
        if matches!(first, '+' | '-') {
            self.zone.get_or_insert(numeric_zone(word));
            return Some(());
        }
        if first.is_ascii_digit() {
            return self.take_parts(word);
        }
        self.take_name(word);
        Some(())
    }

    /// `17`, `1998`, `17-Jan-98`, `1998-01-17`.
    fn take_parts(&mut self, word: &str) -> Option<()> {
        let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
        if let [year, month, day] = parts.as_slice()
            && year.len() == 4
        {
            self.year = Some(year.parse().ok()?);
            self.month = Some(month.parse().ok().or_else(|| month_number(month))?);
            self.day = Some(day.parse().ok()?);
            return Some(());
        }
        parts.iter().try_for_each(|part| self.take_part(part))
    }

    fn take_part(&mut self, part: &str) -> Option<()> {
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            self.take_name(part);
            return Some(());
        }
        if part.is_empty() || part.len() > 5 {
            return None;
        }
        let number: i64 = part.parse().ok()?;
        if part.len() <= 2 && self.day.is_none() {
            self.day = Some(number);
        } else if self.year.is_none() {
            self.year = Some(match (part.len(), number) {
                (1 | 2, 0..50) => number + 2000,
                (1..=3, _) => number + 1900,
                _ => number,
            });
        }
        Some(())
    }

    /// Month, zone, AM or PM. Names of weekdays and anything else mean nothing.
    fn take_name(&mut self, word: &str) {
        if self.month.is_none()
            && let Some(month) = month_number(word)
        {
            self.month = Some(month);
            return;
        }
        let upper = word.to_ascii_uppercase();
        if let (Some(seconds), "AM" | "PM") = (self.seconds, upper.as_str()) {
            let half_day = seconds % (DAY / 2);
            self.seconds = Some(if upper == "PM" { half_day + DAY / 2 } else { half_day });
        } else if self.seconds.is_some() && self.zone.is_none() {
            self.zone = named_zone(&upper);
        }
    }

    /// `1:02`, `01:02:03`, `01:02:03.5`, `01:02:03Z`, `01:02:03+02:00`.
    fn take_time(&mut self, word: &str) -> Option<()> {
        let end = word.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'));
        let (clock, rest) = end.map_or((word, ""), |at| word.split_at(at));
        let mut parts = clock.split(':');
        let hour: i64 = parts.next()?.parse().ok()?;
        let minute: i64 = parts.next()?.parse().ok()?;
        let second: i64 = match parts.next() {
            Some(second) => second.split('.').next()?.parse().ok()?,
            None => 0,
        };
        // 60 is a leap second, which Unix time does not count.
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
            return None;
        }
        self.seconds = Some(hour * 3600 + minute * 60 + second.min(59));
        if rest.starts_with(['+', '-']) {
            self.zone = Some(numeric_zone(rest));
        } else if !rest.is_empty() {
            self.take_name(rest);
        }
        Some(())
    }

    fn unix_seconds(&self) -> Option<i64> {
        let (year, month, day) = (self.year?, self.month?, self.day?);
        if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
            return None;
        }
        let seconds = self.seconds.unwrap_or(0) - self.zone.unwrap_or(0);
        Some(days_from_civil(year, month, day) * DAY + seconds)
    }
}

fn month_number(word: &str) -> Option<i64> {
    let start = word.get(..3)?.to_ascii_lowercase();
    let index = MONTHS.iter().position(|m| *m == start)?;
    word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'.').then_some(index as i64 + 1)
}

/// Seconds east of Greenwich. A zone that cannot be is as good as none.
fn numeric_zone(word: &str) -> i64 {
    let digits: String = word.chars().filter(char::is_ascii_digit).collect();
    let (Some(hours), Some(minutes)) = (digits.get(..2), digits.get(2..4)) else { return 0 };
    let (Ok(hours), Ok(minutes)) = (hours.parse::<i64>(), minutes.parse::<i64>()) else { return 0 };
    if hours > 14 || minutes > 59 {
        return 0;
    }
    let seconds = hours * 3600 + minutes * 60;
    if word.starts_with('-') { -seconds } else { seconds }
}

/// The zones that RFC 5322 names. Military letters are unreliable there, and so are others.
fn named_zone(upper: &str) -> Option<i64> {
    let hours = match upper {
        "Z" | "UT" | "UTC" | "GMT" => 0,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    Some(hours * 3600)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, extended to all years
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month and day of a time in Unix seconds, UTC: the reverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// What a date with a Y2K fault probably means: the years 0 to 199 count from 1900 (`0099` is 1999,
/// `0100` is 2000), and `19100` is 2000. None if the year needs no repair.
#[must_use]
pub(crate) fn century_repaired(unix_seconds: i64) -> Option<i64> {
    let (year, month, day) = civil_from_days(unix_seconds.div_euclid(DAY));
    let meant = match year {
        0..=199 => year + 1900,
        19_100..=19_199 => year - 19_100 + 2000,
        _ => return None,
    };
    let day = day.min(days_in_month(meant, month));
    Some(days_from_civil(meant, month, day) * DAY + unix_seconds.rem_euclid(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_all_common_forms() {
        let expected = Some(884_998_916);
        for text in [
            "Sat, 17 Jan 1998 01:01:56 +0000",
            "17 Jan 98 01:01:56 GMT",
            "Sat, 17 Jan 1998 03:01:56 +0200 (EET (or so))",
            "Fri, 16 Jan 1998 20:01:56 EST",
            "Saturday, 17-Jan-98 01:01:56 UTC",
            "Sat Jan 17 01:01:56 1998",
            "1998-01-17T01:01:56Z",
            "1998-01-17 02:01:56+01:00",
            "Sat, 17 January 1998 1:01:56 AM +0000",
            "Sat, 17 Jan 098 01:01:56 -0000",
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
        assert_eq!(parse_date("17 Jan 1998"), Some(884_995_200));
        assert_eq!(parse_date("17 Jan 1998 01:01 PM"), Some(884_995_200 + 13 * 3600 + 60));
        assert_eq!(parse_date("29 Feb 2000 00:00:00 +0000"), Some(951_782_400));
    }

    #[test]
    fn nonsense_is_no_date() {
        for text in [
            "",
            "yesterday",
            "32 Jan 1998 00:00:00 +0000",
            "29 Feb 1999 00:00:00 +0000",
            "17 Foo 1998 00:00:00 +0000",
            "17 Jan 1998 25:00:00 +0000",
            "17 Jan 123456789 00:00:00",
            "99999999999999999999",
            "17 Jan 1998 99999999999999999999:00",
            "1998-99-99T00:00:00Z",
            "((((",
            "+ - : / .",
            "é1:2 ü",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn odd_years_stay_as_claimed_and_are_repaired_apart() {
        let claimed = parse_date("Fri, 01 Jan 0099 10:00:00 +0000").unwrap();
        assert_eq!(civil_from_days(claimed.div_euclid(DAY)), (99, 1, 1));
        assert_eq!(century_repaired(claimed), parse_date("01 Jan 1999 10:00:00 +0000"));
        let y2k = parse_date("3 Mar 19100 10:00:00 +0000").unwrap();
        assert_eq!(century_repaired(y2k), parse_date("3 Mar 2000 10:00:00 +0000"));
        assert_eq!(century_repaired(0), None);
        assert!(parse_date("1 Jan 2099 00:00:00 +0000").unwrap() > 4_000_000_000);
    }

    #[test]
    fn civil_dates_round_trip() {
        for days in (-800_000..800_000).step_by(37) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
    }
}
