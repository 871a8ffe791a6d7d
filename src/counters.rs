//! What a server has counted, readable from any thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Declares the counts once: the struct, the names of its fields, and the way to an array and back.
macro_rules! counts {
    ($($(#[$doc:meta])+ $field:ident,)+) => {
        /// What a server has counted since it was bound, and what it holds now.
        ///
        /// Its text is a line for each group, of `name=value` separated by blanks.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])+ pub $field: u64,)+
        }

        const NAMES: [&str; [$(stringify!($field)),+].len()] = [$(stringify!($field)),+];

        impl Counts {
            fn to_array(self) -> [u64; NAMES.len()] {
                [$(self.$field),+]
            }

            fn from_array([$($field),+]: [u64; NAMES.len()]) -> Counts {
                Counts { $($field),+ }
            }
        }
    };
}

counts! {
    /// Connections that are open.
    connections_open,
    /// Clients that were accepted.
    connections_accepted,
    /// How often accepting paused, at the connection limit or since the system had no descriptor or
    /// memory.
    connections_paused,
    /// Connections closed since nothing was sent for the idle timeout.
    connections_idle,
    /// Connections cut off since for the stall timeout their clients took none of their replies, or
    /// did not close after the last one.
    connections_stalled,
    /// Replies cut off since what was kept for slow readers had reached its limit.
    connections_cut_off,
    /// Connections closed since they kept the most, when all together kept too much.
    connections_shed,
    /// Bytes of connections, with the requests and replies that they keep between their turns.
    connections_bytes,
    /// Puts that were executed.
    requests_put,
    /// Gets that were executed.
    requests_get,
    /// Requests that were answered `wrong command`.
    requests_wrong,
    /// Puts that were answered `not stored`. Those that were executed, before their commit failed,
    /// count as executed too.
    requests_refused,
    /// Points in the store.
    store_points,
    /// Series in the store.
    store_series,
    /// Bytes of points.
    store_points_bytes,
    /// Bytes of keys.
    store_keys_bytes,
    /// Bytes of the index from key to series.
    store_index_bytes,
    /// Bytes kept for the readers of long replies.
    store_snapshots_bytes,
    /// Points that made room for others.
    store_evicted_points,
    /// Points that were removed for their age.
    store_expired_points,
    /// Bytes written to the journal.
    journal_written_bytes,
    /// Bytes of the journal that a start would replay.
    journal_bytes,
    /// Frames of puts that wait for the disk.
    journal_waiting_frames,
    /// Syncs of the journal.
    journal_syncs,
    /// Microseconds that the longest of them took.
    journal_longest_sync_microseconds,
    /// How often the disk failed.
    journal_failures,
    /// When the last checkpoint was completed, in seconds since 1970; 0 if the server has written
    /// none.
    journal_checkpoint_time,
    /// Bytes of the last checkpoint.
    journal_checkpoint_bytes,
    /// Turns of the event loop.
    loop_turns,
    /// Microseconds that the longest of them took.
    loop_longest_turn_microseconds,
}

impl Counts {
    /// Counts a sync of the journal.
    pub(crate) fn add_sync(&mut self, took: Duration) {
        self.journal_syncs += 1;
        let longest = &mut self.journal_longest_sync_microseconds;
        *longest = (*longest).max(took.as_micros() as u64);
    }

    /// Counts a turn of the event loop.
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
}

impl Counters {
    /// What was published last: each count by itself, so two of them may be of different moments.
    pub fn read(&self) -> Counts {
        let (event_loop, journal) = (&self.event_loop.0, &self.journal.0);
        // Each is counted by one thread, and is 0 in the other.
        let read = |count: usize| event_loop[count].load(Relaxed) + journal[count].load(Relaxed);
        Counts::from_array(std::array::from_fn(read))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |name: &'static str| name.split_once('_').map(|(group, _)| group);
        let mut last = group(NAMES[0]);
        for (at, (name, count)) in NAMES.iter().zip(self.to_array()).enumerate() {
            let is_new_line = group(name) != last;
            last = group(name);
            let between = if at == 0 {
                ""
            } else if is_new_line {
                "\n"
            } else {
                " "
            };
            write!(f, "{between}{name}={count}")?;
        }
        Ok(())
    }
}

/// What one thread has published.
#[derive(Debug)]
pub struct Published([AtomicU64; NAMES.len()]);

impl Default for Published {
    fn default() -> Published {
        Published([const { AtomicU64::new(0) }; NAMES.len()])
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
        for (count, published) in self.counts.to_array().iter().zip(&self.published.0) {
            published.store(*count, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_count_once_in_a_line_for_its_group() {
        let numbers: [u64; NAMES.len()] = std::array::from_fn(|number| number as u64);
        let text = Counts::from_array(numbers).to_string();
        let groups = |line: &str| -> Vec<String> {
            let of = |word: &str| word.split('_').next().expect("a word").to_owned();
            line.split(' ').map(of).collect()
        };
        let lines: Vec<Vec<String>> = text.lines().map(groups).collect();
        for (line, group) in
            lines
                .iter()
                .zip(["connections", "requests", "store", "journal", "loop"])
        {
            assert!(line.iter().all(|word| word == group), "{line:?}");
        }
        assert_eq!(lines.len(), 5);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.len(), NAMES.len());
        assert_eq!(
            (words[0], words[5]),
            ("connections_open=0", "connections_cut_off=5")
        );
        // The daemon's log cuts longer lines.
        let longest = Counts::from_array([u64::MAX; NAMES.len()]).to_string();
        assert!(longest.lines().all(|line| line.len() <= 440), "{longest}");
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
