//! Dates of the Gregorian calendar.

use std::ops::RangeInclusive;

/// The years that a date may be in: those of Graphite, and of four digits.
pub const YEARS: RangeInclusive<i64> = 1..=9999;

/// The months, by three letters each.
pub const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// The days of a week, by three letters each, from the one of 1 January 1970 on.
#[cfg(feature = "http")]
pub const WEEKDAYS: &str = "ThuFriSatSunMonTueWed";

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Year, month and day of a time in seconds since 1970.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub fn date_of(time: i64) -> (i64, i64, i64) {
    let days = time.div_euclid(DAY) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_march + 2) / 5 + 1;
    let month = (month_of_march + 2) % 12 + 1;
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    (year, month, day)
}

/// Days since 1970 of a date, if there is one in [`YEARS`]: not for the 30th of February.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub fn day_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the 29th of February is the last day of one.
    let (of_march, month_of_march) = (year - i64::from(month <= 2), (month + 9) % 12);
    let (era, year_of_era) = (of_march.div_euclid(400), of_march.rem_euclid(400));
    let day_of_year = (153 * month_of_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (date_of(days * DAY) == (year, month, day)).then_some(days)
}

/// Appends a time in seconds since 1970: `2026-11-21`, a mark, and `22:15:50`. A year past the last that has
/// four digits is written as this one, and one before the year 0 as that.
#[cfg(feature = "http")]
pub fn push_time(out: &mut Vec<u8>, time: i64, mark: u8) {
    let (year, month, day) = date_of(time);
    let (year, second) = (year.clamp(0, 9999), time.rem_euclid(DAY));
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    let marks = [b'-', b'-', mark, b':', b':', 0];
    let parts = [year % 100, month, day, hour, minute, second % 60];
    let two_digits = |number: i64| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    out.extend_from_slice(&two_digits(year / 100));
    for (part, mark) in parts.into_iter().zip(marks) {
        let [ten, one] = two_digits(part);
        out.extend_from_slice(&[ten, one, mark]);
    }
    out.pop();
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn times_have_four_digits_of_the_year() {
        for (time, expected) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (1_795_299_350, "2026-11-21 22:15:50"),
            (253_402_300_799, "9999-12-31 23:59:59"),
            (253_402_300_800, "9999-01-01 00:00:00"),
            (-62_135_596_800, "0001-01-01 00:00:00"),
            (-86_400_000_000, "0000-02-04 00:00:00"),
        ] {
            let mut out = Vec::new();
            push_time(&mut out, time, b' ');
            assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
        }
    }
}
