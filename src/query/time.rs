//! When: Graphite's times, and the calendar, in UTC.

use super::interval;
use super::number::integer;
use crate::calendar::{DAY, MONTHS, WEEKDAYS, YEARS, date_of, day_of_date};

/// Reads what graphite-web 1.1.8 reads (`graphite/render/attime.py`), in seconds since 1970: a number
/// of seconds since 1970, or a reference (`now`, `today`, `noon yesterday`, `12:30_20261121`,
/// `11/21/26`, `monday`), or an offset (`-1h`), or both (`now-7d`). The year is 1 to 9999.
///
/// # Errors
///
/// A sentence that names the text.
pub fn parse(text: &str, now: i64) -> Result<i64, String> {
    let mut compact = text.trim().to_ascii_lowercase();
    compact.retain(|character| !matches!(character, '_' | ',' | ' '));
    let time = read(&compact, now).filter(|time| YEARS.contains(&date_of(*time).0));
    time.ok_or_else(|| {
        format!("{text:?} is no time such as -1h, now-7d, today, 12:30_20261121 or 1795219200")
    })
}

fn read(text: &str, now: i64) -> Option<i64> {
    if is_number(text) && !is_date(text) {
        // Those of more digits are past all years.
        return integer(text).filter(|&time| time < i64::MAX / 2);
    }
    let at = text.find('+').or_else(|| text.find('-'));
    let (reference, offset) = text.split_at(at.unwrap_or(text.len()));
    let seconds = match offset {
        "" => 0,
        _ => interval::parse(offset)?,
    };
    reference_of(reference, now)?.checked_add(seconds)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether eight digits are a date, and not seconds since 1970.
fn is_date(digits: &str) -> bool {
    let part = |from, to| digits.get(from..to).and_then(number);
    digits.len() == 8 && part(0, 4) > Some(1900) && part(4, 6) < Some(13) && part(6, 8) < Some(32)
}

/// Digits and nothing else.
fn number(text: &str) -> Option<i64> {
    integer(text).filter(|_| is_number(text))
}

/// A day, with a time of day or without.
fn reference_of(text: &str, now: i64) -> Option<i64> {
    if text.is_empty() || text == "now" {
        return Some(now);
    }
    let (seconds, day) = time_of_day(text)?;
    Some(day_of(day, now.div_euclid(DAY))? * DAY + seconds)
}

/// The time of day with which a text begins, 0 if with none, and the rest.
fn time_of_day(text: &str) -> Option<(i64, &str)> {
    let (mut hour, mut minute, mut rest) = (0, 0, text);
    let leading = |text: &str, mark: &str| {
        let is_there = |at| text.get(at..).is_some_and(|rest| rest.starts_with(mark));
        (1..3).find(|&at| is_there(at))
    };
    let mut is_clock = false;
    if let Some(at) = leading(rest, ":") {
        let end = rest.len().min(at + 3);
        hour = number(&rest[..at])?;
        minute = number(rest.get(at + 1..end)?)?;
        (rest, is_clock) = (&rest[end..], true);
    }
    for mark in ["am", "pm"] {
        let after_clock = Some(0).filter(|_| is_clock && rest.starts_with(mark));
        if let Some(at) = after_clock.or_else(|| leading(rest, mark)) {
            let named = if at > 0 { number(&rest[..at])? } else { hour };
            hour = if mark == "am" {
                named
            } else {
                (named + 12) % 24
            };
            (rest, is_clock) = (&rest[at + 2..], false);
        }
    }
    for (name, named) in [("noon", 12), ("midnight", 0), ("teatime", 16)] {
        if let Some(after) = rest.strip_prefix(name) {
            (hour, minute, rest) = (named, 0, after);
            break;
        }
    }
    (hour < 24 && minute < 60).then_some((hour * 3_600 + minute * 60, rest))
}

/// A day, in days since 1970; `today` if it is not named.
fn day_of(text: &str, today: i64) -> Option<i64> {
    match text {
        "" | "today" => return Some(today),
        "yesterday" => return Some(today - 1),
        "tomorrow" => return Some(today + 1),
        _ if text.matches('/').count() == 2 => {
            let mut parts = text.split('/').map(number);
            let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
            let year = if year < 1900 { year + 1900 } else { year };
            return day_of_date(if year < 1970 { year + 100 } else { year }, month, day);
        }
        _ if text.len() == 8 && is_number(text) => {
            let part = |from, to| number(&text[from..to]);
            return day_of_date(part(0, 4)?, part(4, 6)?, part(6, 8)?);
        }
        _ => {}
    }
    let start = text.as_bytes().get(..3)?;
    let is_start = |name: &[u8]| name.eq_ignore_ascii_case(start);
    let named = |names: &str| names.as_bytes().chunks(3).position(is_start);
    if let Some(month) = named(MONTHS) {
        let of_two = text.get(text.len() - 2..).and_then(number);
        let day = of_two.or_else(|| text.get(text.len() - 1..).and_then(number))?;
        return day_of_date(date_of(today * DAY).0, month as i64 + 1, day);
    }
    // The last one, or today.
    let weekday = named(WEEKDAYS)? as i64;
    Some(today - (today - weekday).rem_euclid(7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_those_of_graphite() {
        let mut rows = 0;
        let mut differing = Vec::new();
        let table = include_str!("../../tests/graphite/times.tsv").lines();
        for row in table.filter(|row| !row.starts_with('#')) {
            let parts: Vec<&str> = row.split('\t').collect();
            let [now, text, theirs] = parts[..] else {
                panic!("{row:?} is not now, text, time");
            };
            let ours = parse(text, now.parse().unwrap());
            let ours = ours.map_or("error".into(), |time| time.to_string());
            if ours != theirs {
                differing.push(format!("{text:?}: {ours}, in Graphite {theirs}"));
            }
            rows += 1;
        }
        assert!(rows > 2_000);
        assert!(differing.is_empty(), "{}", differing.join("\n"));
    }

    #[test]
    fn an_error_names_the_text() {
        let message = parse("now-1Q", 0).unwrap_err();
        assert!(
            message.starts_with("\"now-1Q\" is no time such as "),
            "{message}"
        );
    }

    #[test]
    fn a_half_of_the_day_is_named_once_after_a_clock() {
        assert_eq!(parse("8:30pm 19700101", 0), Ok(20 * 3_600 + 30 * 60));
        assert!(parse("8:30ampm", 0).is_err());
    }

    #[test]
    fn dates_follow_one_another() {
        let first = day_of_date(1, 1, 1).unwrap();
        let (mut days, mut expected) = (first, (1, 1, 1));
        while expected.0 <= 9999 {
            assert_eq!(date_of(days * DAY), expected);
            assert_eq!(date_of(days * DAY + DAY - 1), expected);
            let (year, month, day) = expected;
            assert_eq!(day_of_date(year, month, day), Some(days));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day < length, month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
            days += 1;
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        for (year, month, day) in [
            (0, 1, 1),
            (10_000, 1, 1),
            (i64::MAX, 1, 1),
            (1, 0, 1),
            (1, i64::MAX, 1),
            (1, 1, i64::MAX),
            (1, 1, -1),
        ] {
            assert_eq!(day_of_date(year, month, day), None);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9:/apmnowhdsy\u{e9}\u{2603}_ ]{0,12}|.*", now in any::<i64>()) {
            if let Ok(time) = parse(&text, now) {
                prop_assert!((-62_135_596_800..=253_402_300_799).contains(&time));
            }
        }
    }
}
