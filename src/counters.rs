//! What a server has counted, readable from any thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[cfg(feature = "remote-write")]
use crate::remote_write::Receiver;

/// What a count says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg(feature = "http")]
pub enum Kind {
    /// How much there was since the start: it only grows.
    Total,
    /// How much there is now, or what was last.
    Now,
}

/// Declares the counts once.
macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident,)+) => {
        /// What a server has counted since it was bound, and what it holds now.
        ///
        /// Its text is a line for each group, of `name=value` separated by blanks.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        impl Counts {
            /// Each count after its name.
            pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                const NAMES: &str = concat!($(stringify!($field), " "),+);
                NAMES.split_terminator(' ').zip([$(self.$field),+])
            }

            /// What each of them counts, in the same order: a blank and a sentence or two.
            #[cfg(feature = "http")]
            pub(crate) fn descriptions() -> impl Iterator<Item = (Kind, &'static str)> {
                const TEXTS: &str = concat!($($($doc,)+ "\n"),+);
                [$(Kind::$kind),+].into_iter().zip(TEXTS.lines())
            }
        }

        /// What one thread has published.
        #[derive(Debug, Default)]
        pub struct Published {
            $($field: AtomicU64,)+
        }

        impl Published {
            fn publish(&self, counts: &Counts) {
                $(self.$field.store(counts.$field, Relaxed);)+
            }

            /// Each count is counted by one thread, and is 0 in the others.
            pub(crate) fn add_to(&self, counts: &mut Counts) {
                $(counts.$field += self.$field.load(Relaxed);)+
            }
        }
    };
}

counts! {
    /// Connections that are open.
    connections_open: Now,
    /// Clients that were accepted.
    connections_accepted: Total,
    /// How often accepting paused, at the connection limit or since the system had no descriptor or
    /// memory.
    connections_paused: Total,
    /// Connections closed since nothing was sent for the idle timeout.
    connections_idle: Total,
    /// Connections cut off since for the stall timeout their clients took none of their replies, or
    /// did not close after the last one.
    connections_stalled: Total,
    /// Requests that were not complete within the request timeout.
    connections_late: Total,
    /// Replies cut off since what was kept for slow readers had reached its limit.
    connections_cut_off: Total,
    /// Connections closed since they kept the most, when all together kept too much.
    connections_shed: Total,
    /// Bytes of connections, with the requests and replies that they keep between their turns.
    connections_bytes: Now,
    /// Puts that were executed.
    requests_put: Total,
    /// Gets that were executed.
    requests_get: Total,
    /// Requests that were answered `wrong command`.
    requests_wrong: Total,
    /// Puts that were answered `not stored`. Those that were executed, before their commit failed,
    /// count as executed too.
    requests_refused: Total,
    /// Requests of HTTP that were answered, those that were refused left out.
    requests_http: Total,
    /// Points that came in Graphite's protocol and were stored.
    graphite_points: Total,
    /// Such points that were not stored, for lack of memory or since the disk failed. Those that were
    /// stored, before their commit failed, count as stored too.
    graphite_points_refused: Total,
    /// Such points that were dropped, since their value was not a number.
    graphite_points_nan: Total,
    /// Lines in Graphite's protocol that were dropped, since they were too long or no points.
    graphite_lines_bad: Total,
    /// Points in the store.
    store_points: Now,
    /// Series in the store.
    store_series: Now,
    /// Bytes of points.
    store_points_bytes: Now,
    /// Bytes of keys.
    store_keys_bytes: Now,
    /// Bytes of the index from key to series.
    store_index_bytes: Now,
    /// Bytes kept for the readers of long replies.
    store_snapshots_bytes: Now,
    /// Points that made room for others.
    store_evicted_points: Total,
    /// Points that were removed for their age.
    store_expired_points: Total,
    /// Bytes written to the journal.
    journal_written_bytes: Total,
    /// Bytes of the journal that a start would replay.
    journal_bytes: Now,
    /// Frames of puts that wait for the disk.
    journal_waiting_frames: Now,
    /// Syncs of the journal.
    journal_syncs: Total,
    /// Microseconds that the longest sync of the journal took.
    journal_longest_sync_microseconds: Now,
    /// How often the disk failed.
    journal_failures: Total,
    /// When the last checkpoint was completed, in seconds since 1970; 0 if the server has written
    /// none.
    journal_checkpoint_timestamp_seconds: Now,
    /// Bytes of the last checkpoint.
    journal_checkpoint_bytes: Now,
    /// Points that receivers of remote write have taken, all together.
    remote_sent_points: Total,
    /// Bytes of the requests that they were sent in, compressed.
    remote_sent_bytes: Total,
    /// Points that were sent again after a failure, each time.
    remote_retried_points: Total,
    /// Points that receivers refused, and that are left out.
    remote_rejected_points: Total,
    /// Points that were left out, since the spool was full or their timestamps have no room.
    remote_dropped_points: Total,
    /// Requests that failed, and were sent again.
    remote_failures: Total,
    /// When a request failed last or was refused, in seconds since 1970; 0 if none was.
    remote_last_error_timestamp_seconds: Now,
    /// Points that are still to be sent, to all receivers together.
    remote_lag_points: Now,
    /// Bytes of the journal that they are in.
    remote_lag_bytes: Now,
    /// Seconds since the oldest of them was written, or since the start: of the slowest receiver.
    remote_lag_seconds: Now,
    /// Turns of the event loop.
    loop_turns: Total,
    /// Microseconds that the longest turn of the event loop took.
    loop_longest_turn_microseconds: Now,
}

impl Counts {
    /// Counts a sync of the journal.
    pub(crate) fn add_sync(&mut self, took: Duration) {
        self.journal_syncs += 1;
        let longest = &mut self.journal_longest_sync_microseconds;
        *longest = (*longest).max(took.as_micros() as u64);
    }

    /// Counts a turn of the event loop.
    #[inline]
    pub(crate) fn add_turn(&mut self, took: Duration) {
        self.loop_turns += 1;
        let longest = &mut self.loop_longest_turn_microseconds;
        *longest = (*longest).max(took.as_micros() as u64);
    }
}

/// A handle to what a server counts.
///
/// Each thread of the server publishes its counts after each step of its work; of one that waits they
/// are as it began to wait.
///
/// ```
/// let config = metricd::Config { listen: vec!["127.0.0.1:0".into()], ..Default::default() };
/// let server = metricd::Server::bind(config)?;
/// let (counters, stop) = (server.counters(), server.stop_handle());
/// let thread = std::thread::spawn(move || server.run());
/// println!("{}", counters.read());
/// stop.stop();
/// thread.join().expect("the server does not panic")?;
/// assert_eq!(counters.read().connections_open, 0);
/// # Ok::<(), metricd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub(crate) event_loop: Arc<Published>,
    pub(crate) journal: Arc<Published>,
    #[cfg(feature = "remote-write")]
    pub(crate) receivers: Vec<Arc<Receiver>>,
}

impl Counters {
    /// What was published last: each count by itself, so two of them may be of different moments.
    pub fn read(&self) -> Counts {
        let mut counts = Counts::default();
        self.event_loop.add_to(&mut counts);
        self.journal.add_to(&mut counts);
        #[cfg(feature = "remote-write")]
        for receiver in &self.receivers {
            receiver.add_to(&mut counts);
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last_group = None;
        for (name, count) in self.named() {
            let group = name.split_once('_').map(|(group, _)| group);
            f.write_str(match last_group {
                None => "",
                Some(_) if last_group == group => " ",
                Some(_) => "\n",
            })?;
            write!(f, "{name}={count}")?;
            last_group = group;
        }
        Ok(())
    }
}

/// The counts of one thread, and where it publishes them.
#[derive(Debug, Default)]
pub struct Tally {
    pub counts: Counts,
    published: Arc<Published>,
}

impl Tally {
    /// Publishes there what was counted, and goes on doing so.
    pub fn publish_to(&mut self, published: &Arc<Published>) {
        self.published = published.clone();
        self.publish();
    }

    /// Publishes all counts. To be called after each step of the thread's work.
    pub fn publish(&self) {
        self.published.publish(&self.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_count_once_in_a_line_for_its_group() {
        let counts = Counts {
            connections_open: 3,
            store_series: u64::MAX,
            ..Counts::default()
        };
        let text = counts.to_string();
        let groups: Vec<&str> = text
            .lines()
            .map(|line| line.split_once('_').expect("a name").0)
            .collect();
        assert_eq!(
            groups,
            [
                "connections",
                "requests",
                "graphite",
                "store",
                "journal",
                "remote",
                "loop"
            ]
        );
        for line in text.lines() {
            let group = line.split_once('_').expect("a name").0;
            assert!(
                line.split(' ').all(|word| word.starts_with(group)),
                "{line}"
            );
            // The daemon's log cuts longer lines.
            assert!(
                line.len() + 20 * line.matches("=0").count() <= 460,
                "{line}"
            );
        }
        assert_eq!(text.matches('=').count(), counts.named().count());
        assert!(text.starts_with("connections_open=3 connections_accepted=0 "));
        assert!(text.contains(" store_series=18446744073709551615 "));
    }

    #[test]
    fn each_thread_publishes_its_own_counts() {
        let counters = Counters::default();
        let [mut of_loop, mut of_journal] = [(); 2].map(|()| Tally::default());
        of_journal.counts.journal_failures = 1;
        of_journal.publish_to(&counters.journal);
        of_loop.publish_to(&counters.event_loop);
        of_loop.counts.add_turn(Duration::from_millis(3));
        of_loop.counts.add_turn(Duration::from_millis(2));
        of_journal.counts.add_sync(Duration::from_micros(5));
        let before = Counts {
            journal_failures: 1,
            ..Counts::default()
        };
        assert_eq!(counters.read(), before);
        of_loop.publish();
        of_journal.publish();
        let after = Counts {
            loop_turns: 2,
            loop_longest_turn_microseconds: 3_000,
            journal_syncs: 1,
            journal_longest_sync_microseconds: 5,
            ..before
        };
        assert_eq!(counters.read(), after);
        of_loop.counts.loop_turns = 1;
        of_loop.publish();
        assert_eq!(counters.clone().read().loop_turns, 1);
    }
}
