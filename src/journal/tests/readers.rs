//! Those who read the journal, over a disk that fails or loses power, and through restarts.

use super::super::cursor::Cursor;
use super::super::follower::ReadPut;
use super::super::position::{self, Position, PositionFile};
use super::super::readers::Readers;
use super::super::spool::Spool;
use super::*;

const NAME: &str = "receiver";

/// What happens around a reader.
#[derive(Clone, Debug)]
enum Step {
    /// So many puts into some of the series are executed in a turn.
    Puts(u8, u8),
    /// A series loses all points, so that another one takes its place.
    Evict(u8),
    /// It reads at most so many puts, of which it stores in so many parts that they are done, but for the last.
    Read(usize, usize),
    /// It gives up the oldest file if more than so many bytes are kept for it.
    KeepWithin(u64),
    /// The process is killed and started again.
    Restart,
    /// The power fails.
    PowerLoss(u64),
    /// The disk fails in so many calls, once or until the next restart.
    Fault(u64, Fault, bool),
}

/// A server, one who reads its journal, and all that it must not have missed.
struct Server {
    disk: Simulated,
    policy: SyncPolicy,
    keys_held_bytes: usize,
    life: Life,
    /// Of each put, its key; the number of the put is its value, and its timestamp.
    puts: Vec<String>,
    /// The first put of each frame that is not settled, and the end of its puts.
    frames: BTreeMap<u64, (u64, u64)>,
    acknowledged: BTreeSet<u64>,
    read: BTreeSet<u64>,
    /// The newest put that was read in this life, or is stored as done.
    newest: Option<u64>,
    /// The newest put that is stored as done.
    stored: Option<u64>,
    /// How many puts are done.
    done: u64,
    dropped: u64,
}

fn start_life(disk: &Simulated, policy: SyncPolicy, keys_held_bytes: usize) -> io::Result<Life> {
    let config = config(policy, JOURNAL_LIMIT_BYTES);
    let names = [NAME.to_owned()];
    let mut life = Life::start_in(disk, &config, &names, Room::default(), Vec::new())?;
    for follower in &mut life.followers {
        follower.take_room(0, 0, keys_held_bytes);
    }
    Ok(life)
}

impl Server {
    fn new(policy: SyncPolicy) -> Server {
        Server::holding_keys(policy, Config::KEYS_HELD_BYTES)
    }

    /// One whose reader holds so many bytes of keys.
    fn holding_keys(policy: SyncPolicy, keys_held_bytes: usize) -> Server {
        let disk = Simulated::new();
        Server {
            life: start_life(&disk, policy, keys_held_bytes).expect("a disk without faults"),
            disk,
            policy,
            keys_held_bytes,
            puts: Vec::new(),
            frames: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            read: BTreeSet::new(),
            newest: None,
            stored: None,
            done: 0,
            dropped: 0,
        }
    }

    fn spool(&self) -> Spool {
        self.life.journal.spool.clone()
    }

    fn follower(&mut self) -> &mut Follower {
        &mut self.life.followers[0]
    }

    /// A turn in which these are executed, if puts are taken.
    fn turn(&mut self, changes: &[Change]) {
        let executed = self.life.executed.len();
        self.life.turn(changes);
        let first = self.puts.len() as u64;
        for change in &self.life.executed[executed..] {
            if let Change::Put(key, _, _) = change {
                self.puts.push(key.clone());
            }
        }
        let puts = (first, self.puts.len() as u64);
        if puts.0 < puts.1 {
            let number = *self.life.submitted.keys().next_back().expect("puts");
            self.frames.insert(number, puts);
        }
        let (journal, acknowledged) = (&self.life.journal, &mut self.acknowledged);
        self.frames.retain(|&number, &mut (first, end)| {
            let outcome = journal.outcome(number);
            if outcome == Outcome::Stored {
                acknowledged.extend(first..end);
            }
            outcome == Outcome::Pending
        });
    }

    fn changes(&self, count: u8, series: u8) -> Vec<Change> {
        let put = |number: u64| {
            let key = format!("series {}", (number * 7) % u64::from(series));
            Change::Put(key, number as i64, number as f64 / 4.0)
        };
        let first = self.puts.len() as u64;
        (first..first + u64::from(count)).map(put).collect()
    }

    /// Reads, and checks that what is read was put, and comes in order.
    fn read(&mut self, most: usize, parts: usize) -> io::Result<()> {
        let newest = self.spool().written().newest;
        let before = self.newest;
        let mut read = Vec::new();
        let disk = self.disk.clone();
        let follower = self.follower();
        follower.finish(follower.unfinished());
        let result = follower.read(newest, most, &mut |put| {
            read.push(put);
            true
        });
        let key_of = |put: ReadPut| {
            assert!(follower.key_bytes(put.series) <= "series n".len());
            let key = follower.key(put.series).map(str::to_owned);
            let key = key.or_else(|_| {
                // It can be read as soon as the disk works again.
                disk.repair();
                follower.key(put.series).map(str::to_owned)
            });
            (key.expect("no fault"), put)
        };
        let read: Vec<(String, ReadPut)> = read.into_iter().map(key_of).collect();
        assert!(read.len() <= most);
        let numbers: Vec<u64> = read.iter().map(|(_, put)| put.timestamp as u64).collect();
        for (key, put) in &read {
            let number = put.timestamp as u64;
            assert_eq!(self.puts.get(number as usize), Some(key));
            assert_eq!(put.value, number as f64 / 4.0);
            assert!(self.newest < Some(number), "{:?} {number}", self.newest);
            self.newest = Some(number);
        }
        self.read.extend(&numbers);
        // After a loss of power, what it comes to first shows which position was left.
        let first = numbers.first().copied().unwrap_or(0);
        let begin = before.map_or(first, |newest| newest + 1);
        self.done = begin;
        for part in 1..=parts {
            let done = numbers.len() * part / (parts + 1);
            let follower = self.follower();
            follower.finish(done + follower.unfinished() - numbers.len());
            let is_stored = follower.store_position(0).is_ok();
            let newest = numbers[..done].last().copied().or(before);
            if is_stored {
                self.stored = newest;
            }
            self.done = newest.map_or(begin, |newest| newest + 1);
        }
        result
    }

    fn read_all(&mut self) {
        let newest = self.spool().written().newest;
        while self.follower().next_frame() <= newest {
            self.read(7, 2).expect("no fault");
        }
    }

    /// Starts again after the process or the power has failed.
    fn restart(&mut self) {
        self.disk.repair();
        self.frames.clear();
        let held = self.keys_held_bytes;
        self.life = start_life(&self.disk, self.policy, held).expect("a disk without faults");
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Puts(count, series) => self.turn(&self.changes(count, series)),
            Step::Evict(series) => {
                let key = format!("series {series}");
                self.turn(&[Change::Evict(key, i64::MAX)]);
            }
            Step::Read(most, parts) => {
                // With a disk that fails, what is read is right all the same.
                drop(self.read(most, parts));
            }
            Step::KeepWithin(limit) => {
                // If files cannot be read, nothing is given up.
                if let Ok(Some(dropped)) = self.follower().keep_within(limit) {
                    self.dropped += dropped;
                    let done = self.done;
                    self.read.retain(|&put| put < done);
                }
            }
            Step::Restart => {
                self.restart();
                self.newest = self.stored;
                self.done = self.stored.map_or(0, |newest| newest + 1);
            }
            Step::PowerLoss(seed) => {
                self.disk = self.disk.after_power_loss(seed);
                self.restart();
                // A position that was stored before may be back.
                (self.newest, self.stored) = (None, None);
            }
            Step::Fault(calls, fault, stays) => {
                let call = self.disk.calls() + calls;
                match stays {
                    true => self.disk.fail_from(call, fault),
                    false => self.disk.fail_at(call, fault),
                }
            }
        }
    }

    /// Has all that was acknowledged read, and checks that it was.
    fn finish(&mut self) {
        self.disk.repair();
        for _ in 0..30 {
            self.turn(&[]);
        }
        self.turn(&self.changes(3, 3));
        self.turn(&[]);
        self.read_all();
        let missing = self.acknowledged.difference(&self.read).count();
        assert!(
            missing as u64 <= self.dropped,
            "{missing} of {}",
            self.dropped
        );
    }
}

fn step(faults: u32) -> impl Strategy<Value = Step> {
    let fault = (0usize..4).prop_map(|fault| FAULTS[fault]);
    prop_oneof![
        8 => (0u8..30, 1u8..9).prop_map(|(count, series)| Step::Puts(count, series)),
        2 => (0u8..9).prop_map(Step::Evict),
        8 => (1usize..40, 0usize..4).prop_map(|(most, parts)| Step::Read(most, parts)),
        1 => (0u64..2_000).prop_map(Step::KeepWithin),
        1 => Just(Step::Restart),
        faults => any::<u64>().prop_map(Step::PowerLoss),
        // A call that is always interrupted would be repeated for ever.
        2 * faults => (0u64..12, fault, any::<bool>()).prop_map(|(calls, fault, stays)| {
            Step::Fault(calls, fault, stays && fault != Fault::Interrupted)
        }),
    ]
}

/// All keys are held, or some, or none.
fn keys_held_bytes() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![Config::KEYS_HELD_BYTES, 20, 0])
}

proptest! {
    #[test]
    fn a_reader_is_handed_all_that_was_acknowledged_in_order(
        steps in proptest::collection::vec(step(1), 1..40),
        keys_held_bytes in keys_held_bytes(),
    ) {
        let mut server = Server::holding_keys(SyncPolicy::Always, keys_held_bytes);
        for step in &steps {
            server.take(step);
        }
        server.finish();
    }

    #[test]
    fn without_faults_nothing_comes_twice_and_the_lag_is_exact(
        steps in proptest::collection::vec(step(0), 1..40),
        keys_held_bytes in keys_held_bytes(),
    ) {
        let mut server = Server::holding_keys(SyncPolicy::Never, keys_held_bytes);
        for step in &steps {
            server.take(step);
            let (puts, bytes) = server.follower().lag();
            let written = server.puts.len() as u64;
            if server.dropped == 0 {
                prop_assert_eq!(puts, written - server.done, "{:?}", step);
                prop_assert!(bytes > 0 || server.newest.is_some() || written == 0);
            }
        }
        server.finish();
        let read = server.read.len() as u64;
        prop_assert_eq!(read + server.dropped, server.puts.len() as u64);
    }
}

#[test]
fn files_that_are_missing_are_passed() {
    let mut cursor = Cursor::new(Position::before(1), Some(0));
    let result = cursor.read(&mut Simulated::new(), 6, 4, &mut |_| true);
    result.expect("no fault");
    assert_eq!(cursor.next, Position::before(7));
}

#[test]
fn puts_are_counted_in_pieces() {
    let mut server = Server::new(SyncPolicy::Always);
    for _ in 0..5 {
        server.turn(&server.changes(3, 3));
    }
    // It remembers no series, so that it can hand over nothing.
    let (mut cursor, mut seen) = (Cursor::new(Position::before(1), None), 0);
    for _ in 0..7 {
        let result = cursor.read(&mut server.disk, 5, 2, &mut |_| true);
        result.expect("no fault");
        assert_eq!((cursor.marks.puts, cursor.marks.left_out), (0, 2));
        seen += cursor.marks.left_out;
    }
    assert_eq!(seen, 14);
}

#[test]
fn damaged_files_are_read_in_part() {
    let mut server = Server::new(SyncPolicy::Always);
    let mut files = Vec::new();
    for _ in 0..2 {
        for count in [5, 1, 9] {
            server.turn(&server.changes(count, 4));
        }
        server.restart();
    }
    let names = server.disk.clone().list().expect("no fault");
    for name in names.iter().filter(|name| name.starts_with("journal-")) {
        files.push((name, server.disk.content(name).unwrap_or_default()));
    }
    assert_eq!(files.len(), 4);
    for (name, whole) in &files {
        for (case, bytes) in damaged(whole).enumerate() {
            let mut disk = Simulated::new();
            for (other, bytes) in &files {
                disk.set_content(other, bytes);
            }
            disk.set_content(name, &bytes);
            let mut cursor = Cursor::new(Position::before(1), Some(0));
            let (mut newest, mut count, mut calls) = (None, 0, 0);
            while cursor.next.frame <= 6 {
                let result = cursor.read(&mut disk, 6, 4, &mut |put| {
                    let number = put.timestamp as u64;
                    assert!(newest < Some(number) && number < 30, "{name}, {case}");
                    assert_eq!(put.value, number as f64 / 4.0);
                    (newest, count) = (Some(number), count + 1);
                    true
                });
                result.expect("no fault");
                calls += 1;
                assert!(calls < 30, "{name}, {case}");
            }
            assert_eq!(cursor.next, Position::before(7));
            assert!(
                count >= 15 || name.ends_with('7'),
                "{name}, {case}: {count}"
            );
        }
    }
}

#[test]
fn with_a_damaged_position_all_that_is_there_is_read() {
    let mut server = Server::new(SyncPolicy::Always);
    for _ in 0..3 {
        server.turn(&server.changes(3, 3));
    }
    server.read_all();
    let mut bytes = server.disk.content(NAME).expect("a position");
    bytes[9] ^= 1;
    server.disk.set_content(NAME, &bytes);
    server.restart();
    server.read.clear();
    (server.newest, server.stored, server.done) = (None, None, 0);
    server.read_all();
    assert_eq!(server.read, server.acknowledged);
}

#[test]
fn a_frame_that_is_damaged_while_its_file_grows_costs_no_later_ones() {
    let mut server = Server::new(SyncPolicy::Always);
    let name = FileKind::Journal.name(1);
    server.turn(&server.changes(3, 3));
    server.turn(&server.changes(3, 3));
    let written_bytes = server.spool().written().end.bytes;
    server.disk.flip(&name, written_bytes as usize - 1);
    server.read_all();
    for _ in 0..3 {
        server.turn(&server.changes(3, 3));
        server.read_all();
    }
    let missing: Vec<_> = server.acknowledged.difference(&server.read).collect();
    assert_eq!(missing, [&3, &4, &5]);
}

#[test]
fn the_lag_is_of_what_is_written_though_the_file_is_longer() {
    let lags = POLICIES.map(|policy| {
        let mut server = Server::new(policy);
        for _ in 0..3 {
            server.turn(&server.changes(3, 3));
        }
        let before = server.follower().lag();
        server.read(3, 0).expect("no fault");
        (before, server.follower().lag())
    });
    assert_eq!(lags, [lags[1]; 3]);
    assert_eq!(lags[0].0.0, 9);
}

#[test]
fn positions_of_who_is_not_there_are_set_back_too() {
    let mut disk = Simulated::new();
    let at = |frame, puts| Position {
        frame,
        puts,
        under_way: 1,
    };
    let begin = Position::before(50);
    let cases = [
        ("sent-1", at(49, 9), at(49, 9)),
        ("sent-2", at(50, 0), at(50, 0)),
        ("sent-3", at(50, 1), begin),
        ("sent-4", at(51, 0), begin),
        ("sent-5.tmp", at(51, 0), at(51, 0)),
        ("other", at(51, 0), at(51, 0)),
    ];
    for (name, before, _) in cases {
        let stored = &mut PositionFile::new(name);
        stored.store(&mut disk, before).expect("no fault");
    }
    let mut readers = Readers::load(&mut disk, &[]).expect("no fault");
    readers.begin(&mut disk, 50).expect("no fault");
    for (name, _, after) in cases {
        let stored = position::load(&mut disk, name).expect("no fault");
        assert_eq!(stored, Some(after), "{name}");
    }
}

#[test]
fn a_position_is_the_last_whole_record() {
    let mut disk = Simulated::new();
    let mut stored = PositionFile::new(NAME);
    let position = |number: u32| Position {
        frame: u64::from(number) << 31 | 7,
        puts: 2 * number,
        under_way: 3 * number,
    };
    assert_eq!(position::load(&mut disk, NAME).expect("no fault"), None);
    for number in 1..=5 {
        stored.store(&mut disk, position(number)).expect("no fault");
    }
    let whole = disk.content(NAME).unwrap_or_default();
    for length in 0..=whole.len() {
        disk.set_content(NAME, &whole[..length]);
        let expected = length.saturating_sub(8) as u32 / 20;
        let expected = (expected > 0).then(|| position(expected));
        assert_eq!(position::load(&mut disk, NAME).expect("no fault"), expected);
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        disk.set_content(NAME, &bytes);
        let expected = place.saturating_sub(8) as u32 / 20;
        let expected = (expected > 0).then(|| position(expected));
        assert_eq!(position::load(&mut disk, NAME).expect("no fault"), expected);
    }
    // What is stored many times takes little room.
    for number in 0..10_000 {
        stored.store(&mut disk, position(number)).expect("no fault");
        let found = disk.content(NAME).unwrap_or_default();
        assert!(found.len() < 66_000);
    }
    assert_eq!(
        position::load(&mut disk, NAME).expect("no fault"),
        Some(position(9_999))
    );
}

#[test]
fn files_stay_until_they_are_done_and_then_nothing_more_is_called() {
    let mut server = Server::new(SyncPolicy::Always);
    for _ in 0..20 {
        server.turn(&server.changes(9, 5));
    }
    let is_there = |server: &Server, number| {
        let name = format!("journal-{number:016x}");
        server.disk.content(&name).is_some()
    };
    let mut names = server.disk.clone().list().expect("no fault");
    names.retain(|name| name.starts_with("checkpoint-"));
    assert_eq!(names.len(), 1);
    assert!(is_there(&server, 1));
    server.read_all();
    for is_done in [false, true] {
        if is_done {
            server.read(1, 0).expect("no fault");
            server.follower().store_position(0).expect("no fault");
        }
        for _ in 0..20 {
            server.turn(&[]);
        }
        let calls = server.disk.calls();
        server.turn(&[]);
        assert_eq!(
            (calls, server.life.writer.due()),
            (server.disk.calls(), None)
        );
    }
    assert!(!is_there(&server, 1));
}

#[test]
fn positions_are_appended_but_in_each_file_of_the_journal_written_once_more() {
    let mut server = Server::new(SyncPolicy::Always);
    for _ in 0..20 {
        server.turn(&server.changes(9, 5));
    }
    let mut journals = server.disk.clone().list().expect("no fault");
    journals.retain(|name| name.starts_with("journal-"));
    let (newest, mut appended, mut written) = (server.spool().written().newest, 0, 0);
    while server.follower().next_frame() <= newest {
        server.read(1, 0).expect("no fault");
        let (calls, follower) = (server.disk.calls(), server.follower());
        follower.finish(follower.unfinished());
        follower.store_position(0).expect("no fault");
        match server.disk.calls() - calls {
            0 | 1 => appended += 1,
            _ => written += 1,
        }
    }
    assert!(appended >= server.puts.len() - written, "{appended}");
    assert_eq!(written, journals.len());
    assert!(written > 1);
}

#[test]
fn a_position_past_a_file_that_is_dropped_is_written_once_more() {
    let mut server = Server::new(SyncPolicy::Always);
    for _ in 0..20 {
        server.turn(&server.changes(9, 5));
    }
    server.read(1, 0).expect("no fault");
    server.follower().store_position(0).expect("no fault");
    let dropped = server.follower().keep_within(0).expect("no fault");
    assert!(dropped.is_some());
    let bytes = server.disk.content(NAME).expect("a position");
    assert_eq!(bytes.len(), 28, "one record");
}
