//! How long to wait before the next attempt.

use std::time::{Duration, SystemTime};

use crate::config::Config;
use crate::http::parse_date;

/// Random pauses that grow, so that many senders that failed at the same moment do not return together.
///
/// "Full jitter" of Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a pause is
/// uniformly random below a limit that doubles with each failure, from `Config::RETRY_FIRST` to
/// `Config::RETRY_MAX`. Of the methods compared there, it costs the receiver the fewest attempts.
pub struct Backoff {
    failures: u32,
    random_state: u64,
}

impl Backoff {
    /// Creates the pauses of one sender. Each sender should have another seed.
    pub fn new(seed: u64) -> Backoff {
        Backoff {
            failures: 0,
            random_state: seed,
        }
    }

    /// The pause after one more failure.
    ///
    /// A time that the receiver asks for is waited in full, up to `Config::RETRY_AFTER_MAX`. Jitter is added on
    /// top, of up to the requested time or the usual limit, whichever is longer (at most `Config::RETRY_MAX`), so
    /// that senders told the same time do not return together.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let asked = retry_after.unwrap_or_default().min(Config::RETRY_AFTER_MAX);
        let grown = Config::RETRY_FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        asked + self.up_to(grown.max(asked).min(Config::RETRY_MAX))
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// A uniformly random time below a limit.
    fn up_to(&mut self, limit: Duration) -> Duration {
        let scaled = (u128::from(self.random()) * limit.as_nanos()) >> 64;
        // It fits: the limit is at most `RETRY_MAX`.
        Duration::from_nanos(scaled as u64)
    }

    /// 64 random bits: SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
    /// 2014).
    fn random(&mut self) -> u64 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed =
            (self.random_state ^ self.random_state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// How long a `Retry-After` header with this value asks to wait: a number of seconds, or until a date (RFC 9110,
/// section 10.2.3). A date in the past is a time of zero. `None` if the value is neither.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number of more than 64 bits counts as the largest one.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = parse_date(value, now)?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const MS: Duration = Duration::from_millis(1);

    fn fail(backoff: &mut Backoff, times: usize) {
        for _ in 0..times {
            assert!(backoff.next(None) < Config::RETRY_MAX);
        }
    }

    /// The shortest and the longest of many pauses that follow so many failures.
    fn range(failures: usize, retry_after: Option<Duration>) -> (Duration, Duration) {
        let pauses = (0..2_000).map(|seed| {
            let mut backoff = Backoff::new(seed);
            fail(&mut backoff, failures);
            backoff.next(retry_after)
        });
        let pauses: Vec<Duration> = pauses.collect();
        (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap())
    }

    #[test]
    fn pauses_are_spread_over_a_time_that_doubles() {
        for (failures, asked_ms, from_ms, to_ms) in [
            (0, None, 0, 500),
            (1, None, 0, 1_000),
            (5, None, 0, 16_000),
            (6, None, 0, 30_000),
            (100_000, None, 0, 30_000),
            (0, Some(0), 0, 500),
            (0, Some(100), 100, 600),
            (0, Some(10_000), 10_000, 20_000),
            (6, Some(10_000), 10_000, 40_000),
            (0, Some(60_000), 60_000, 90_000),
            (9, Some(3_600_000), 3_600_000, 3_630_000),
            (9, Some(u64::MAX), 3_600_000, 3_630_000),
        ] {
            if failures > 1_000 {
                let mut backoff = Backoff::new(1);
                backoff.failures = u32::MAX;
                assert!(backoff.next(None) < Config::RETRY_MAX);
                continue;
            }
            let (shortest, longest) = range(failures, asked_ms.map(Duration::from_millis));
            let (from, to) = (from_ms * MS, to_ms * MS);
            // Some of 2,000 pauses are in the first hundredth, and some in the last.
            let margin = (to - from) / 100;
            assert!(from <= shortest && shortest < from + margin, "{shortest:?}");
            assert!(to - margin < longest && longest < to, "{longest:?}");
        }
    }

    #[test]
    fn failures_are_forgotten() {
        let mut backoff = Backoff::new(7);
        fail(&mut backoff, 20);
        backoff.reset();
        assert!(backoff.next(None) < Config::RETRY_FIRST);
    }

    /// The first numbers for the seed 1234567, from Rosetta Code.
    #[test]
    fn random_numbers_are_those_of_the_paper() {
        let mut backoff = Backoff::new(1_234_567);
        assert_eq!(backoff.random(), 6_457_827_717_110_365_317);
        assert_eq!(backoff.random(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(23)),
            ("Sunday, 06-Nov-94 08:50:00 GMT", Some(23)),
            ("Sun Nov  6 08:50:00 1994", Some(23)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value}");
        }
    }
}
