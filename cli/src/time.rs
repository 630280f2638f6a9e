//! Points in time, as people read them.
//!
//! Times come from peers, from old mail and from clocks nobody set, so every value is possible.
//! Each function takes any number and answers with something short; nothing here decides an
//! order. Dates are UTC in the proleptic Gregorian calendar.
//!
//! The calendar arithmetic is Howard Hinnant's `civil_from_days` and `days_from_civil`
//! ("chrono-Compatible Low-Level Date Algorithms",
//! <https://howardhinnant.github.io/date_algorithms.html>): years are counted from March, so that
//! the leap day is a year's last, within eras of 400 years, which all have 146,097 days.

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Days from 0000-03-01, where the eras begin, to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// Days in an era of 400 years.
const ERA: i64 = 146_097;
/// Times before the year 0 or after 9999 are not spelled out.
const FIRST_SECOND: i64 = -62_167_219_200;
/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// How far a time may lie ahead of the local clock and still be called "just now", in seconds.
const SLACK: i64 = 120;

/// What is shown for a time outside the years 0 to 9999.
pub const UNCLEAR: &str = "date unclear";

/// A date of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year, 0 to 9999.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
}

/// The date of a number of Unix seconds, unless its year is not within 0 to 9999.
#[must_use]
pub fn date_of(seconds: i64) -> Option<Date> {
    if !(FIRST_SECOND..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    let days = seconds.div_euclid(DAY) + EPOCH_DAYS;
    let era = days.div_euclid(ERA);
    let day_of_era = days.rem_euclid(ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(Date { year, month: u8::try_from(month).ok()?, day: u8::try_from(day).ok()? })
}

/// Unix seconds of the first moment of a date, or nothing for a date that is not in the calendar.
#[must_use]
pub fn seconds_of(date: Date) -> Option<i64> {
    let Date { year, month, day } = date;
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (month, day) = (i64::from(month), i64::from(day));
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let seconds = (era * ERA + day_of_era - EPOCH_DAYS) * DAY;
    // A day or month that does not exist comes back as another one.
    (date_of(seconds) == Some(date)).then_some(seconds)
}

/// Reads a date written as `YYYY-MM-DD`, as Unix seconds of its first moment in UTC.
#[must_use]
pub fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let all = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        all.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
    seconds_of(Date { year: i64::from(year), month, day })
}

/// Reads a point in time to come, in UTC, as Unix seconds: `2026-03-06` (the last second of the day),
/// `2026-03-06 18:00` or with a `T`, `today`, `tomorrow`, `tomorrow 18:00`, `18:00` (the next time it is
/// so late), or so long from now: `90m`, `12h`, `3d`, `2w`.
#[must_use]
pub fn parse_when(text: &str, now: i64) -> Option<i64> {
    let text = text.trim().to_lowercase();
    let midnight = now.div_euclid(DAY).saturating_mul(DAY);
    let spans = [('m', 60), ('h', 3600), ('d', DAY), ('w', 7 * DAY)];
    for (unit, seconds) in spans {
        if let Some(count) = text.strip_suffix(unit)
            && !count.is_empty()
            && count.bytes().all(|b| b.is_ascii_digit())
        {
            let then = now.checked_add(count.parse::<i64>().ok()?.checked_mul(seconds)?)?;
            return date_of(then).map(|_| then);
        }
    }
    if let Some(of_day) = time_of_day(&text) {
        let then = midnight.saturating_add(of_day);
        return Some(if then > now { then } else { then.saturating_add(DAY) });
    }
    let (day, of_day) = match text.split_once([' ', 't']).filter(|(day, _)| day.len() == 10) {
        Some((day, clock)) => (day, Some(clock)),
        None => match text.split_once(' ') {
            Some((day, clock)) => (day, Some(clock)),
            None => (text.as_str(), None),
        },
    };
    let first = match day {
        "today" => midnight,
        "tomorrow" => midnight.saturating_add(DAY),
        day => parse_day(day)?,
    };
    match of_day {
        Some(clock) => Some(first.saturating_add(time_of_day(clock.trim().trim_end_matches('z'))?)),
        None => Some(first.saturating_add(DAY - 1)),
    }
}

/// Seconds since midnight of `18:00` or `18:00:30`.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let mut number = |most: i64| {
        let part = parts.next()?;
        let fits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i64>().ok().filter(|n| fits && *n <= most)
    };
    let (hours, minutes) = (number(23)?, number(59)?);
    let seconds = if text.matches(':').count() == 2 { number(59)? } else { 0 };
    parts.next().is_none().then_some(hours * 3600 + minutes * 60 + seconds)
}

/// `2001-03-12`, or [`UNCLEAR`].
#[must_use]
pub fn day(seconds: i64) -> String {
    date_of(seconds)
        .map_or_else(|| UNCLEAR.into(), |d| format!("{:04}-{:02}-{:02}", d.year, d.month, d.day))
}

/// `2001-03-12 14:05 UTC`, or [`UNCLEAR`].
#[must_use]
pub fn moment(seconds: i64) -> String {
    if date_of(seconds).is_none() {
        return UNCLEAR.into();
    }
    let of_day = seconds.rem_euclid(DAY);
    format!("{} {:02}:{:02} UTC", day(seconds), of_day / 3600, of_day / 60 % 60)
}

/// RFC 3339 for JSON and files, `2001-03-12T14:05:09Z`; nothing where the year is not 0 to 9999.
#[must_use]
pub fn rfc3339(seconds: i64) -> Option<String> {
    date_of(seconds)?;
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    Some(format!("{}T{hour:02}:{minute:02}:{second:02}Z", day(seconds)))
}

/// Whole seconds of a time in milliseconds. Times beyond what seconds can count stay the largest.
#[must_use]
pub fn seconds(millis: u64) -> i64 {
    i64::try_from(millis / 1000).unwrap_or(i64::MAX)
}

/// The wall clock in Unix milliseconds; 0 for a clock set before 1970.
#[must_use]
pub fn now_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// How long ago, both in Unix seconds: `just now`, `5 min ago`, `3 h ago`, `yesterday`,
/// `4 days ago`; the date for what is older than a fortnight. A time more than two minutes ahead
/// of the clock, which is a claim and no fact, is shown as the moment it names.
#[must_use]
pub fn ago(then: i64, now: i64) -> String {
    let past = now.saturating_sub(then);
    match past {
        _ if date_of(then).is_none() => UNCLEAR.into(),
        _ if past < -SLACK => moment(then),
        _ if past < 60 => "just now".into(),
        _ if past < 3600 => format!("{} min ago", past / 60),
        _ if past < DAY => format!("{} h ago", past / 3600),
        _ if past < 2 * DAY => "yesterday".into(),
        _ if past < 14 * DAY => format!("{} days ago", past / DAY),
        _ => day(then),
    }
}

/// How long something takes, in the two greatest units: `4 s`, `2 min 5 s`, `3 h 10 min`,
/// `2 days 4 h`.
#[must_use]
pub fn span(seconds: u64) -> String {
    let pair = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        86_400..172_800 => pair(1, "day", seconds % 86_400 / 3600, "h"),
        _ => pair(seconds / 86_400, "days", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_700_000_000, "2023-11-14"),
            (4_107_542_400, "2100-03-01"),
            (FIRST_SECOND, "0000-01-01"),
            (LAST_SECOND, "9999-12-31"),
            (-59_042_995_200, "0099-01-01"),
        ] {
            assert_eq!(day(seconds), text);
        }
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(moment(-1), "1969-12-31 23:59 UTC");
        assert_eq!(rfc3339(1_700_000_000).unwrap(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn every_day_of_the_calendar_comes_back() {
        let mut last = date_of(FIRST_SECOND - 1);
        assert_eq!(last, None);
        let mut count = 0;
        for seconds in (FIRST_SECOND..=LAST_SECOND).step_by(86_400) {
            let date = date_of(seconds);
            assert!(date > last);
            assert_eq!(seconds_of(date.unwrap()), Some(seconds));
            last = date;
            count += 1;
        }
        assert_eq!(count, 25 * ERA);
    }

    #[test]
    fn days_are_read_and_nonsense_is_not() {
        assert_eq!(parse_day("2000-02-29"), Some(951_782_400));
        for bad in ["2001-02-29", "2000-13-01", "2000-00-10", "2000-1-01", "", "x", "2000-02-3x"] {
            assert_eq!(parse_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn points_in_time_to_come() {
        // 2023-11-14 22:13:20
        let now = 1_700_000_000;
        for (text, shown) in [
            ("2023-11-20", "2023-11-20 23:59 UTC"),
            ("2023-11-20 18:00", "2023-11-20 18:00 UTC"),
            ("2023-11-20T18:00:00Z", "2023-11-20 18:00 UTC"),
            ("Tomorrow 18:00", "2023-11-15 18:00 UTC"),
            ("tomorrow", "2023-11-15 23:59 UTC"),
            ("today", "2023-11-14 23:59 UTC"),
            ("23:00", "2023-11-14 23:00 UTC"),
            ("7:30", "2023-11-15 07:30 UTC"),
            ("3d", "2023-11-17 22:13 UTC"),
            ("90m", "2023-11-14 23:43 UTC"),
        ] {
            assert_eq!(parse_when(text, now).map(moment).as_deref(), Some(shown), "{text}");
        }
        let odd =
            ["", "d", "24:00", "tomorrow 25:00", "2023-02-30", "99999999999999d", "t", "1:2:3:4"];
        for bad in odd.into_iter().chain(["soon", "9223372036854775807w", "2023-11-20 x", "é"]) {
            assert_eq!(parse_when(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn how_long_ago() {
        let now = 1_700_000_000;
        for (back, text) in [
            (0, "just now"),
            (-60, "just now"),
            (59, "just now"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (3600, "1 h ago"),
            (3 * 3600 + 100, "3 h ago"),
            (86_400, "yesterday"),
            (4 * 86_400, "4 days ago"),
            (14 * 86_400, "2023-10-31"),
            (-121, "2023-11-14 22:15 UTC"),
        ] {
            assert_eq!(ago(now - back, now), text);
        }
    }

    #[test]
    fn absurd_times_stay_short() {
        for then in [i64::MIN, i64::MAX, FIRST_SECOND - 1, LAST_SECOND + 1, seconds(u64::MAX)] {
            for now in [i64::MIN, 0, i64::MAX] {
                assert_eq!(ago(then, now), UNCLEAR);
            }
            assert_eq!(day(then), UNCLEAR);
            assert_eq!(moment(then), UNCLEAR);
            assert_eq!(rfc3339(then), None);
        }
        assert_eq!(ago(0, i64::MAX), "1970-01-01");
        assert_eq!(ago(0, i64::MIN), "1970-01-01 00:00 UTC");
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0 s"),
            (65, "1 min 5 s"),
            (120, "2 min"),
            (11_400, "3 h 10 min"),
            (86_400, "1 day"),
            (187_200, "2 days 4 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
