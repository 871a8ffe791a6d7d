//! Dates of the Gregorian calendar.

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
