//! Many senders and one receiver that slows down, goes away and comes back, in virtual time.
//!
//! A sender has one request under way at a time, of so many points at the most, and pauses after a failure
//! as [`Backoff`] says. The receiver takes requests one after the other, and does not know who has given up
//! on an answer: it stores the points of such a request, too, which are sent again later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use anyhow::{Result, ensure};
use metricd::internals::Backoff;

use crate::support::table::{figure, table};

const SENDERS: usize = 1_000;
/// Points a second of each: 10,000 series, each every ten seconds.
const RATE: f64 = 1_000.0;
/// Points a second that the receiver takes, twice what comes.
const CAPACITY: f64 = 2_000_000.0;
/// Seconds that a request takes beside its points.
const REQUEST_SECONDS: f64 = 1e-4;
const REQUEST_POINTS: f64 = 10_000.0;
const TIMEOUT: f64 = 30.0;
/// How long a point waits for others.
const GATHER: f64 = 1.0;

/// Until then all is well; then it takes a quarter, which is half of what comes; …
const SLOW: f64 = 600.0;
/// … then it is away, for an hour; …
const AWAY: f64 = SLOW + 600.0;
/// … then it is back.
const BACK: f64 = AWAY + 3_600.0;
/// The end of those that never catch up.
const END: f64 = BACK + 24.0 * 3_600.0;

/// How a sender behaves.
struct Manner {
    name: &'static str,
    has_jitter: bool,
    request_points: f64,
}

struct Sender {
    backoff: Backoff,
    failures: i32,
    /// Points up to this time are received.
    sent_until: f64,
    /// Whether it has caught up after the return.
    is_done: bool,
    /// When the request that is under way has an answer, and what that is.
    request: Option<(bool, f64)>,
}

impl Sender {
    fn pause(&mut self, manner: &Manner) -> f64 {
        self.failures += 1;
        if manner.has_jitter {
            return self.backoff.next(None).as_secs_f64();
        }
        (0.5 * f64::from(1 << self.failures.min(16))).min(30.0)
    }
}

/// What is seen after the receiver's return.
struct Seen {
    /// The most requests that arrive in a second of the first minute.
    peak: f64,
    /// Requests that nobody waited for the answer to.
    in_vain: u64,
    /// When all senders had caught up.
    caught_up: Option<f64>,
}

fn simulate(manner: &Manner) -> Seen {
    let sender = |seed| Sender {
        backoff: Backoff::new(seed),
        failures: 0,
        sent_until: 0.0,
        is_done: false,
        request: None,
    };
    let mut senders: Vec<Sender> = (0..SENDERS as u64).map(sender).collect();
    // Who does something next, by the nanosecond. They were not started at one moment.
    let start = |sender| Reverse(((sender as u64) * 1_000_000, sender));
    let mut next: BinaryHeap<Reverse<(u64, usize)>> = (0..SENDERS).map(start).collect();
    let (mut free, mut in_vain, mut behind) = (0.0, 0, SENDERS);
    let mut arrivals = [0u32; 60];
    while let Some(Reverse((now, number))) = next.pop() {
        let (now, sender) = (now as f64 / 1e9, &mut senders[number]);
        if now > END {
            break;
        }
        let wait = match sender.request.take() {
            Some((true, until)) => {
                let pending = (now - until) * RATE;
                // At its return all have more than a request can take.
                if now >= BACK
                    && pending < REQUEST_POINTS
                    && !mem::replace(&mut sender.is_done, true)
                {
                    behind -= 1;
                }
                sender.sent_until = until;
                sender.failures = 0;
                sender.backoff.reset();
                if behind == 0 {
                    let peak = arrivals.iter().max().copied().unwrap_or(0);
                    let peak = f64::from(peak);
                    let caught_up = Some(now - BACK);
                    return Seen {
                        peak,
                        in_vain,
                        caught_up,
                    };
                }
                if pending < REQUEST_POINTS {
                    GATHER
                } else {
                    0.0
                }
            }
            Some((false, _)) => sender.pause(manner),
            None if (AWAY..BACK).contains(&now) => sender.pause(manner),
            None => {
                if now >= BACK
                    && let Some(arrivals) = arrivals.get_mut((now - BACK) as usize)
                {
                    *arrivals += 1;
                }
                let points = ((now - sender.sent_until) * RATE).min(manner.request_points);
                let is_slow = (SLOW..AWAY).contains(&now);
                let capacity = if is_slow { CAPACITY / 4.0 } else { CAPACITY };
                free = f64::max(free, now) + REQUEST_SECONDS + points / capacity;
                let is_lost = (AWAY..BACK).contains(&free);
                let is_answered = free - now < TIMEOUT && !is_lost;
                in_vain += u64::from(now >= BACK && !is_answered);
                sender.request = Some((is_answered, sender.sent_until + points / RATE));
                // A receiver that goes away resets its connections.
                let end = if is_lost { AWAY } else { free };
                f64::min(end, now + TIMEOUT) - now
            }
        };
        next.push(Reverse((((now + wait) * 1e9) as u64 + 1, number)));
    }
    let peak = arrivals.iter().max().copied().unwrap_or(0);
    Seen {
        peak: f64::from(peak),
        in_vain,
        caught_up: None,
    }
}

pub fn run() -> Result<()> {
    let manners = [
        Manner {
            name: "metricd: jitter, 10,000 points a request",
            has_jitter: true,
            request_points: REQUEST_POINTS,
        },
        Manner {
            name: "without jitter",
            has_jitter: false,
            request_points: REQUEST_POINTS,
        },
        Manner {
            name: "without a limit of points",
            has_jitter: true,
            request_points: f64::INFINITY,
        },
    ];
    let seen: Vec<Seen> = manners.iter().map(simulate).collect();
    let requests = CAPACITY / REQUEST_POINTS;
    let rate = RATE * SENDERS as f64;
    let backlog = rate * (BACK - AWAY) + (rate - CAPACITY / 4.0) * (AWAY - SLOW);
    let shortest = backlog / (CAPACITY - rate);
    let rows = manners.iter().zip(&seen).map(|(manner, seen)| {
        let hours = |seconds: f64| format!("{:.2} h", seconds / 3_600.0);
        vec![
            manner.name.into(),
            figure(seen.peak),
            figure(seen.peak / requests),
            seen.in_vain.to_string(),
            seen.caught_up.map_or("not in a day".into(), hours),
        ]
    });
    println!(
        "{SENDERS} senders of {RATE} points/s; a receiver of {CAPACITY} points/s comes back after an hour.\n\
         No sender could catch up in less than {:.2} h.\n",
        shortest / 3_600.0
    );
    let head =
        "after its return|requests in the worst second|times its capacity|in vain|all caught up";
    println!("{}", table(head, rows.collect()));
    let ours = &seen[0];
    let herds = ours.peak <= 2.0 * requests && ours.in_vain == 0;
    ensure!(
        herds,
        "a thundering herd: {} requests in a second",
        ours.peak
    );
    let is_soon = ours
        .caught_up
        .is_some_and(|seconds| seconds < 1.2 * shortest);
    ensure!(is_soon, "it takes too long to catch up");
    // The simulation would see one.
    ensure!(
        seen[1].peak > 2.0 * requests && seen[2].in_vain > 0,
        "no herd without jitter"
    );
    Ok(())
}
