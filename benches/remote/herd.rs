//! A simulation, in virtual time, of many senders and one receiver that slows down, goes away and comes back.
//!
//! A sender has one request under way at a time, of a limited number of points. After a failure, it pauses as
//! [`Backoff`] says. The receiver takes one request after the other. It stores the points of a request even if
//! the sender no longer waits for the answer; these are sent again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::support::*;
use metricd::internals::Backoff;

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
        let (is_taken, end) = match is_away(self.0) {
            true => (false, AWAY),
            false => (self.0 < now + TIMEOUT, self.0),
        };
        (is_taken, end.min(now + TIMEOUT))
    }
}

struct Sender {
    backoff: Backoff,
    /// Points up to this time are received.
    sent_until: f64,
    has_caught_up: bool,
}

/// The moment when a sender sends next, for a queue that hands out the earliest first.
fn event(seconds: f64, sender: usize) -> Reverse<(u64, usize)> {
    Reverse(((seconds * 1e9) as u64, sender))
}

/// What happens after the receiver's return: the most requests that arrive in a second of the first minute,
/// those that are not answered in time, and the seconds until all senders have caught up, if they do in a day.
///
/// Senders of the same seed have no jitter between them.
fn simulate(seed_of: fn(u64) -> u64, request_points: f64) -> [f64; 3] {
    let sender = |number| Sender {
        backoff: Backoff::new(seed_of(number)),
        sent_until: 0.0,
        has_caught_up: false,
    };
    let mut senders: Vec<Sender> = (0..SENDERS as u64).map(sender).collect();
    // They were not started at one moment.
    let starts = (0..SENDERS).map(|number| event(number as f64 / SENDERS as f64, number));
    let mut next: BinaryHeap<_> = starts.collect();
    let (mut receiver, mut arrivals, mut in_vain) = (Receiver(0.0), [0.0; 60], 0.0);
    while let Some(Reverse((now, number))) = next.pop() {
        let (now, sender) = (now as f64 / 1e9, &mut senders[number]);
        let points = ((now - sender.sent_until) * RATE).min(request_points);
        let (is_taken, end) = receiver.take(now, points);
        let is_back = now >= BACK;
        if is_back && now < BACK + 60.0 {
            arrivals[(now - BACK) as usize] += 1.0;
        }
        in_vain += f64::from(is_back && !is_taken);
        let pause = if is_taken {
            sender.backoff.reset();
            sender.sent_until += points / RATE;
            let is_late = (end - sender.sent_until) * RATE > REQUEST_POINTS;
            sender.has_caught_up |= is_back && !is_late;
            if is_late { 0.0 } else { GATHER }
        } else {
            sender.backoff.next(None).as_secs_f64()
        };
        let are_done = is_back && senders.iter().all(|sender| sender.has_caught_up);
        if are_done || end > END {
            let peak = arrivals.into_iter().fold(0.0, f64::max);
            return [peak, in_vain, if are_done { end - BACK } else { f64::NAN }];
        }
        next.push(event(end + pause, number));
    }
    unreachable!("each sender sends again")
}

pub fn run() -> Result<()> {
    let ours = simulate(|number| number, REQUEST_POINTS);
    let equal = simulate(|_| 0, REQUEST_POINTS);
    let unlimited = simulate(|number| number, f64::INFINITY);
    let (rate, capacity) = (RATE * SENDERS as f64, CAPACITY / REQUEST_POINTS);
    let waiting = rate * (BACK - AWAY) + (rate - CAPACITY / 4.0) * (AWAY - SLOW);
    let shortest = waiting / (CAPACITY - rate);
    let hours = shortest / 3_600.0;
    println!("{SENDERS} senders of {RATE} points/s; a receiver of twice as many comes back.");
    println!("It could take all that waits in {hours:.2} h.\n");
    let row = |(name, [peak, in_vain, seconds]): (_, [f64; 3])| {
        cells(name, &[peak / capacity, in_vain, seconds / 3_600.0])
    };
    let head = "then|requests in the worst second, times its capacity|in vain|\
        hours until all have caught up, if in a day";
    let names = [
        "metricd",
        "the same pauses for all",
        "requests without a limit",
    ];
    let rows = names.into_iter().zip([ours, equal, unlimited]);
    println!("{}", table(head, rows.map(row).collect()));
    let is_calm = ours[0] < 2.0 * capacity && ours[1] == 0.0;
    ensure!(is_calm, "a thundering herd");
    ensure!(ours[2] < 1.2 * shortest, "it takes too long to catch up");
    // Otherwise the simulation would show no herd at all.
    let is_herd = equal[0] > 2.0 * capacity && unlimited[1] > 0.0;
    ensure!(is_herd, "no herd at all");
    Ok(())
}
