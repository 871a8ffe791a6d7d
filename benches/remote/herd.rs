//! A simulation, in virtual time, of many senders and one receiver that slows down, goes away and comes back.
//!
//! A sender has one request under way at a time, of a limited number of points. After a failure, it pauses as
//! [`Backoff`] says. The receiver takes one request after the other. It stores the points of a request even if
//! the sender no longer waits for the answer; these are sent again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use anyhow::{Result, ensure};
use metricd::internals::Backoff;

use crate::support::table::{figure, table};

const SENDERS: usize = 1_000;
/// Points a second of each sender: 10,000 series, each with a point every ten seconds.
const RATE: f64 = 1_000.0;
/// Points a second that the receiver can take: twice as many as all senders have.
const CAPACITY: f64 = 2_000_000.0;
/// Seconds that each request takes in addition to its points.
const REQUEST_SECONDS: f64 = 1e-4;
const REQUEST_POINTS: f64 = 10_000.0;
const TIMEOUT: f64 = 30.0;
/// How long a sender gathers points before it sends them.
const GATHER: f64 = 1.0;

/// From this second on, the receiver has a quarter of its capacity, half of what it needs; …
const SLOW: f64 = 600.0;
/// … from this second on, it is away; …
const AWAY: f64 = SLOW + 600.0;
/// … and from this second on, it is back.
const BACK: f64 = AWAY + 3_600.0;
const END: f64 = BACK + 24.0 * 3_600.0;

/// A receiver, and the time when it has taken all requests that have arrived.
struct Receiver(f64);

impl Receiver {
    /// Takes a request. Returns whether it is answered in time, and when its sender knows this.
    fn take(&mut self, now: f64, points: f64) -> (bool, f64) {
        let is_away = |time| (AWAY..BACK).contains(&time);
        if is_away(now) {
            return (false, now);
        }
        let is_slow = (SLOW..AWAY).contains(&now);
        let capacity = if is_slow { CAPACITY / 4.0 } else { CAPACITY };
        self.0 = self.0.max(now) + REQUEST_SECONDS + points / capacity;
        // When it goes away, it resets its connections.
        let (is_answered, end) = if is_away(self.0) {
            (false, AWAY)
        } else {
            (true, self.0)
        };
        (is_answered && end < now + TIMEOUT, end.min(now + TIMEOUT))
    }
}

struct Sender {
    backoff: Backoff,
    failures: i32,
    /// Points up to this time are received.
    sent_until: f64,
    has_caught_up: bool,
}

impl Sender {
    fn new(seed: usize) -> Sender {
        Sender {
            backoff: Backoff::new(seed as u64),
            failures: 0,
            sent_until: 0.0,
            has_caught_up: false,
        }
    }

    /// Notes that so many points were received by `end`. Returns whether a full request still waits.
    fn taken(&mut self, points: f64, end: f64) -> bool {
        self.backoff.reset();
        self.failures = 0;
        self.sent_until += points / RATE;
        (end - self.sent_until) * RATE > REQUEST_POINTS
    }

    /// The pause after a failure, in seconds.
    fn pause(&mut self, has_jitter: bool) -> f64 {
        if has_jitter {
            return self.backoff.next(None).as_secs_f64();
        }
        self.failures += 1;
        (0.25 * 2f64.powi(self.failures)).min(TIMEOUT)
    }
}

/// What happens after the receiver's return.
struct Seen {
    /// The most requests that arrive in a second of the first minute.
    peak: f64,
    /// Requests that were not answered in time.
    in_vain: u64,
    /// Seconds until all senders had caught up.
    caught_up: Option<f64>,
}

/// The moment when a sender sends next, for a queue that hands out the earliest first.
fn event(seconds: f64, sender: usize) -> Reverse<(u64, usize)> {
    Reverse(((seconds * 1e9) as u64, sender))
}

fn simulate(has_jitter: bool, request_points: f64) -> Seen {
    let mut senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
    // They were not started at one moment.
    let starts = (0..SENDERS).map(|number| event(number as f64 / SENDERS as f64, number));
    let mut next: BinaryHeap<_> = starts.collect();
    let (mut receiver, mut late) = (Receiver(0.0), SENDERS);
    let (mut arrivals, mut in_vain) = ([0.0; 60], 0);
    let caught_up = loop {
        let Some(Reverse((now, number))) = next.pop() else {
            break None;
        };
        let (now, sender) = (now as f64 / 1e9, &mut senders[number]);
        let points = ((now - sender.sent_until) * RATE).min(request_points);
        let (is_taken, end) = receiver.take(now, points);
        if now >= BACK {
            if let Some(arrivals) = arrivals.get_mut((now - BACK) as usize) {
                *arrivals += 1.0;
            }
            in_vain += u64::from(!is_taken);
        }
        let pause = if is_taken {
            let is_late = sender.taken(points, end);
            if now >= BACK && !is_late && !mem::replace(&mut sender.has_caught_up, true) {
                late -= 1;
            }
            if is_late { 0.0 } else { GATHER }
        } else {
            sender.pause(has_jitter)
        };
        if late == 0 {
            break Some(end - BACK);
        }
        if end > END {
            break None;
        }
        next.push(event(end + pause, number));
    };
    Seen {
        peak: arrivals.into_iter().fold(0.0, f64::max),
        in_vain,
        caught_up,
    }
}

pub fn run() -> Result<()> {
    let manners = [
        ("metricd", true, REQUEST_POINTS),
        ("pauses without jitter", false, REQUEST_POINTS),
        ("requests without a limit", true, f64::INFINITY),
    ];
    let seen = manners.map(|(_, has_jitter, points)| simulate(has_jitter, points));
    let (rate, capacity) = (RATE * SENDERS as f64, CAPACITY / REQUEST_POINTS);
    let waiting = rate * (BACK - AWAY) + (rate - CAPACITY / 4.0) * (AWAY - SLOW);
    let shortest = waiting / (CAPACITY - rate);
    let hours = |seconds: f64| format!("{:.2} h", seconds / 3_600.0);
    println!(
        "{SENDERS} senders of {RATE} points/s; a receiver of twice as many comes back after an hour."
    );
    println!("It could take all that waits in {}.\n", hours(shortest));
    let rows = manners.iter().zip(&seen).map(|((name, ..), seen)| {
        vec![
            (*name).into(),
            figure(seen.peak / capacity),
            seen.in_vain.to_string(),
            seen.caught_up.map_or("not in a day".into(), hours),
        ]
    });
    let head = "then|requests in the worst second, times its capacity|in vain|all have caught up";
    println!("{}", table(head, rows.collect()));
    let [ours, equal, unlimited] = seen;
    ensure!(
        ours.peak < 2.0 * capacity && ours.in_vain == 0,
        "a thundering herd"
    );
    let is_soon = ours
        .caught_up
        .is_some_and(|seconds| seconds < 1.2 * shortest);
    ensure!(is_soon, "it takes too long to catch up");
    // Otherwise the simulation would show no herd at all.
    ensure!(
        equal.peak > 2.0 * capacity && unlimited.in_vain > 0,
        "no herd at all"
    );
    Ok(())
}
