//! Reads times as HTTP writes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calendar::{DAY, MONTHS, date_of, day_of_date};

/// Reads a time in any of the three forms that a recipient must take (RFC 9110, section 5.6.7), to the
/// second. The name of the day of the week is not looked at. A year of two digits is the last one
/// with these digits that is at most fifty years after `now`. A time before 1970 is that of 1970.
pub fn parse_date(text: &str, now: SystemTime) -> Option<SystemTime> {
    let words = text.as_bytes().split(|byte| b" -".contains(byte));
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let (day, month, year, clock) = match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT
        [_, day, month, year, clock, b"GMT"] => (day, month, year, clock),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let month = MONTHS.as_bytes().chunks(3).position(|name| name == month)? as i64 + 1;
    let year = match (number(year)?, year.len()) {
        (year, 4) => year,
        (of_century, 2) => {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            let newest = date_of(i64::try_from(since.as_secs()).ok()?).0 + 50;
            newest - (newest - of_century).rem_euclid(100)
        }
        _ => return None,
    };
    let mut clock = clock.split(|&byte| byte == b':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // A minute may have a leap second.
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let time = day_of_date(year, month, number(day)?)? * DAY + hour * 3_600 + minute * 60 + second;
    let since = Duration::from_secs(u64::try_from(time).unwrap_or(0));
    UNIX_EPOCH.checked_add(since)
}

/// A number of one to four digits.
fn number(digits: &[u8]) -> Option<i64> {
    let is_number = (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let value = |number, &digit: &u8| 10 * number + i64::from(digit & 0xf);
    is_number.then(|| digits.iter().fold(0, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_three_forms() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(1_795_299_350); // 2026
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun Nov 16 08:49:37 1994", Some(784_975_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(0)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            // Fifty years ahead, and one more.
            ("Wednesday, 01-Jan-76 00:00:00 GMT", Some(3_345_062_400)),
            ("Saturday, 01-Jan-77 00:00:00 GMT", Some(220_924_800)),
            ("", None),
            ("-", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT GMT", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Sun, 06 ov1 1994 08:49:37 GMT", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 994 08:49:37 GMT", None),
            ("Sun, 06 Nov 11994 08:49:37 GMT", None),
            ("Sun, 06 Nov 0000 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:60:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:61 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37:00 GMT", None),
            ("Sun, 06 Nov 1994 +8:49:37 GMT", None),
            ("Sun, \u{664}6 Nov 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(parse_date(text, now), expected.map(at), "{text}");
        }
    }

    #[cfg(feature = "http")]
    #[test]
    fn what_is_written_is_read() {
        for seconds in (0..253_402_300_799).step_by(86_399 * 7_919) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let mut written = Vec::new();
            crate::http::answer::push_date(&mut written, time);
            let written = str::from_utf8(&written).expect("ASCII");
            assert_eq!(parse_date(written, UNIX_EPOCH), Some(time));
        }
    }
}
