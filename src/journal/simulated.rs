//! A folder in memory, which fails and loses power when a test says so.
//!
//! # Model
//!
//! The system serves reads, and lists the folder, from memory: what was written is there, until the
//! power fails. On the medium is only what was synced. When the power fails,
//!
//! - of a file, each sector of 512 bytes that differs from what was synced is the new one or the
//!   old one; past the end of what was synced, the old one is zeros or what a removed file had
//!   there. The length is anything between the shortest and the longest since the sync.
//! - each name in the folder stands for any of the files that it stood for since the folder was
//!   synced, or for none if that was so at any time; whatever becomes of the others. So a file that
//!   is renamed may be found under both names, or under neither. Syncing a file does not sync its
//!   name, and syncing the folder does not sync what is in its files.
//! - the call during which it fails may have been executed, as far as nothing says that it is
//!   synced.
//!
//! A sync that fails, of a file or the folder, drops what it should have synced: it is still read,
//! and may or may not be on the medium, also after later syncs, until it is written once more.
//!
//! All is decided by the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::file_system::{DiskFile, FileSystem};

/// What a medium writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Why the mutex can be locked.
const NO_PANIC: &str = "no thread panicked";

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of the medium. Half of the bytes of a write are written.
    Error,
    /// The same for lack of space, of calls that may need some. Others succeed.
    NoSpace,
    /// Half of the bytes, and at least one, are read or written. Other calls succeed.
    Short,
    /// The call is interrupted before it does anything.
    Interrupted,
}

/// A folder in memory. Clones are the same folder.
#[derive(Clone, Default)]
pub struct Simulated {
    shared: Arc<(Mutex<Disk>, Condvar)>,
}

/// An open file.
struct SimulatedFile {
    disk: Simulated,
    file: usize,
    position: usize,
    is_writable: bool,
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Well,
    Short,
    Fails(ErrorKind),
    /// It may have been executed, and nothing is known of it.
    PowerFails,
}

impl Course {
    /// Fails where nothing is done.
    fn check(self) -> io::Result<()> {
        match self {
            Course::Fails(kind) => Err(kind.into()),
            _ => Ok(()),
        }
    }

    /// The result of a call that returns `value` if all goes well.
    fn end<T>(self, value: T) -> io::Result<T> {
        match self {
            Course::Well | Course::Short => Ok(value),
            Course::Fails(kind) => Err(kind.into()),
            Course::PowerFails => Err(power_failed()),
        }
    }

    /// How many of so many bytes are read or written.
    fn part_of(self, bytes: usize) -> usize {
        match self {
            Course::Well | Course::PowerFails => bytes,
            Course::Fails(ErrorKind::Interrupted) => 0,
            Course::Short | Course::Fails(_) => bytes.min((bytes / 2).max(1)),
        }
    }
}

fn power_failed() -> io::Error {
    io::Error::other("the power failed")
}

impl Simulated {
    /// An empty folder, where all is well.
    pub fn new() -> Simulated {
        Simulated::default()
    }

    /// Calls so far: the first one is number 1.
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// The call of this number fails.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.disk().faults.push((call, call, fault));
    }

    /// The call of this number and all after it fail, until the [repair](Self::repair).
    pub fn fail_from(&self, call: u64, fault: Fault) {
        self.disk().faults.push((call, u64::MAX, fault));
    }

    /// No further call fails.
    pub fn repair(&self) {
        self.disk().faults.clear();
    }

    /// The power fails during the call of this number. It and all calls after it are errors.
    pub fn cut_power_at(&self, call: u64) {
        self.disk().power_fails_at = Some(call);
    }

    /// What is on the medium if the power fails now, or has failed: a folder where all is well.
    pub fn after_power_loss(&self, seed: u64) -> Simulated {
        let disk = self.disk().after_power_loss(&mut Random(seed));
        Simulated {
            shared: Arc::new((Mutex::new(disk), Condvar::new())),
        }
    }

    /// Writes and syncs wait, from now on, until they are [released](Self::release).
    pub fn hold(&self) {
        self.disk().is_held = true;
    }

    /// Ends [`hold`](Self::hold).
    pub fn release(&self) {
        self.disk().is_held = false;
        self.shared.1.notify_all();
    }

    /// Returns when a call is held.
    pub fn wait_until_held(&self) {
        let waits = |disk: &mut Disk| disk.waiting == 0;
        drop(self.shared.1.wait_while(self.disk(), waits));
    }

    /// What would be read from a file, if there is one of this name.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        let &file = disk.names.get(name)?;
        Some(disk.files[file].written.clone())
    }

    /// Changes a byte of a file in place.
    pub fn flip(&self, name: &str, place: usize) {
        let mut disk = self.disk();
        let file = disk.names[name];
        disk.files[file].written[place] ^= 1;
    }

    /// Puts a file into the folder, or replaces one, on the medium.
    pub fn set_content(&self, name: &str, bytes: &[u8]) {
        let mut disk = self.disk();
        let file = disk.add(File::on_medium(bytes.to_vec()));
        disk.names.insert(name.to_owned(), file);
        disk.unsynced_names.remove(name);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.shared.0.lock().expect(NO_PANIC)
    }

    fn open_file(&self, file: usize, is_writable: bool) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile {
            disk: self.clone(),
            file,
            position: 0,
            is_writable,
        })
    }

    /// Counts a call, and says how it goes. `needs_space` is whether it may find none.
    fn begin(&self, needs_space: bool) -> io::Result<(MutexGuard<'_, Disk>, Course)> {
        let mut disk = self.disk();
        disk.calls += 1;
        let number = disk.calls;
        if disk.power_fails_at.is_some_and(|at| at < number) {
            return Err(power_failed());
        }
        if disk.power_fails_at == Some(number) {
            return Ok((disk, Course::PowerFails));
        }
        let mut faults = disk.faults.iter().rev();
        let fault = faults.find(|(first, last, _)| (first..=last).contains(&&number));
        let course = match fault.map(|&(_, _, fault)| fault) {
            Some(Fault::Error) => Course::Fails(ErrorKind::Other),
            Some(Fault::NoSpace) if needs_space => Course::Fails(ErrorKind::StorageFull),
            Some(Fault::Interrupted) => Course::Fails(ErrorKind::Interrupted),
            Some(Fault::Short) => Course::Short,
            Some(Fault::NoSpace) | None => Course::Well,
        };
        Ok((disk, course))
    }

    /// The same of a call that can be [held](Self::hold).
    fn begin_held(&self) -> io::Result<(MutexGuard<'_, Disk>, Course)> {
        let (mut disk, course) = self.begin(true)?;
        disk.waiting += 1;
        self.shared.1.notify_all();
        let is_held = |disk: &mut Disk| disk.is_held;
        let mut disk = self.shared.1.wait_while(disk, is_held).expect(NO_PANIC);
        disk.waiting -= 1;
        Ok((disk, course))
    }
}

impl FileSystem for Simulated {
    fn share(&self) -> Box<dyn FileSystem> {
        Box::new(self.clone())
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        let (disk, course) = self.begin(false)?;
        course.check()?;
        course.end(disk.names.keys().cloned().collect())
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        let (disk, course) = self.begin(false)?;
        course.check()?;
        course.end(disk.files[disk.find(name)?].written.len() as u64)
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let (mut disk, course) = self.begin(true)?;
        course.check()?;
        let file = match disk.names.get(name) {
            Some(&file) => file,
            None => {
                let file = disk.add(File::default());
                disk.name(name, Some(file));
                file
            }
        };
        disk.files[file].set_length(0);
        course.end(self.open_file(file, true))
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let (disk, course) = self.begin(false)?;
        course.check()?;
        course.end(self.open_file(disk.find(name)?, false))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (mut disk, course) = self.begin(true)?;
        course.check()?;
        let file = disk.find(from)?;
        disk.name(to, Some(file));
        disk.name(from, None);
        course.end(())
    }

    fn shorten(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let (mut disk, course) = self.begin(false)?;
        course.check()?;
        let file = disk.find(name)?;
        disk.files[file].set_length(bytes as usize);
        course.end(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let (mut disk, course) = self.begin(false)?;
        course.check()?;
        disk.find(name)?;
        disk.name(name, None);
        course.end(())
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let (mut disk, course) = self.begin(true)?;
        match course {
            Course::Well | Course::Short => disk.unsynced_names.retain(|_, name| name.is_dropped),
            Course::Fails(ErrorKind::Interrupted) | Course::PowerFails => {}
            Course::Fails(_) => {
                for name in disk.unsynced_names.values_mut() {
                    name.is_dropped = true;
                }
            }
        }
        course.end(())
    }
}

impl DiskFile for SimulatedFile {
    fn read(&mut self, offset: u64, room: &mut [u8]) -> io::Result<usize> {
        let (disk, course) = self.disk.begin(false)?;
        course.check()?;
        let written = &disk.files[self.file].written;
        let unread = written.get(offset as usize..).unwrap_or_default();
        let length = course.part_of(unread.len().min(room.len()));
        room[..length].copy_from_slice(&unread[..length]);
        course.end(length)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut disk, course) = self.disk.begin_held()?;
        if !self.is_writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let length = course.part_of(bytes.len());
        disk.files[self.file].write(self.position, &bytes[..length]);
        self.position += length;
        course.end(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let (mut disk, course) = self.disk.begin_held()?;
        disk.files[self.file].sync(course);
        course.end(())
    }

    fn set_length(&mut self, bytes: u64) -> io::Result<()> {
        let (mut disk, course) = self.disk.begin(true)?;
        course.check()?;
        disk.files[self.file].set_length(bytes as usize);
        course.end(())
    }
}

#[derive(Default)]
struct Disk {
    /// All files that ever were.
    files: Vec<File>,
    /// What each name stands for.
    names: BTreeMap<String, usize>,
    /// The names that may not be so on the medium.
    unsynced_names: BTreeMap<String, UnsyncedName>,
    /// Bytes of the file that was removed last, which new sectors may hold.
    stale: Vec<u8>,
    calls: u64,
    /// Numbers of the first and the last call that each of them is for.
    faults: Vec<(u64, u64, Fault)>,
    power_fails_at: Option<u64>,
    is_held: bool,
    /// How many calls wait to be released.
    waiting: usize,
}

/// A name that was given or taken away since the folder was synced.
struct UnsyncedName {
    /// What it stood for since then: a file, or none.
    files: Vec<Option<usize>>,
    /// A sync of the folder failed since.
    is_dropped: bool,
}

impl Disk {
    fn add(&mut self, file: File) -> usize {
        self.files.push(file);
        self.files.len() - 1
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let file = self.names.get(name).copied();
        file.ok_or(ErrorKind::NotFound.into())
    }

    /// Makes a name stand for another file, or for none.
    fn name(&mut self, name: &str, file: Option<usize>) {
        let before = match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        let unsynced = self.unsynced_names.entry(name.to_owned());
        let unsynced = unsynced.or_insert_with(|| UnsyncedName {
            files: vec![before],
            is_dropped: false,
        });
        unsynced.files.push(file);
        unsynced.is_dropped = false;
        if let Some(before) = before {
            self.stale = self.files[before].written.clone();
        }
    }

    /// What is on the medium after the power failed.
    fn after_power_loss(&self, random: &mut Random) -> Disk {
        let mut names = self.names.clone();
        for (name, unsynced) in &self.unsynced_names {
            match unsynced.files[random.below(unsynced.files.len())] {
                Some(file) => names.insert(name.clone(), file),
                None => names.remove(name),
            };
        }
        let survivor = |file: &File| File::on_medium(file.after_power_loss(random, &self.stale));
        Disk {
            files: self.files.iter().map(survivor).collect(),
            names,
            ..Disk::default()
        }
    }
}

#[derive(Default)]
struct File {
    /// What is read.
    written: Vec<u8>,
    /// What is on the medium for sure.
    synced: Vec<u8>,
    /// The shortest and the longest that it was since it was synced, in bytes.
    lengths: (usize, usize),
    /// Sectors whose sync failed.
    dropped: BTreeSet<usize>,
}

impl File {
    fn on_medium(bytes: Vec<u8>) -> File {
        File {
            written: bytes.clone(),
            lengths: (bytes.len(), bytes.len()),
            synced: bytes,
            dropped: BTreeSet::new(),
        }
    }

    fn write(&mut self, position: usize, bytes: &[u8]) {
        let end = position + bytes.len();
        self.set_length(self.written.len().max(end));
        self.written[position..end].copy_from_slice(bytes);
        for number in position / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            self.dropped.remove(&number);
        }
    }

    fn set_length(&mut self, length: usize) {
        self.written.resize(length, 0);
        let (least, most) = self.lengths;
        self.lengths = (least.min(length), most.max(length));
    }

    fn sync(&mut self, course: Course) {
        match course {
            Course::Well | Course::Short => {
                let dropped = &self.dropped;
                let choose = |number, old, new| if dropped.contains(&number) { old } else { new };
                self.synced = self.sectors(choose);
                self.synced.truncate(self.written.len());
                self.lengths = (self.written.len(), self.written.len());
            }
            Course::Fails(ErrorKind::Interrupted) | Course::PowerFails => {}
            Course::Fails(_) => {
                let mut unsynced = BTreeSet::new();
                self.sectors(|number, old, new| {
                    if old != new {
                        unsynced.insert(number);
                    }
                    new
                });
                self.dropped.append(&mut unsynced);
            }
        }
    }

    /// What is on the medium after the power failed.
    fn after_power_loss(&self, random: &mut Random, stale: &[u8]) -> Vec<u8> {
        let (least, most) = self.lengths;
        let length = match random.below(4) {
            0 => least,
            1 => most,
            _ => least + random.below(most - least + 1),
        };
        // Some failures lose nearly nothing, and some nearly everything.
        let survive = random.below(5);
        let mut survivor = self.sectors(|number, mut old, new| {
            if old == new || random.below(4) < survive {
                return new;
            }
            if random.below(4) == 0 {
                let start = number * SECTOR_BYTES;
                for (place, byte) in old.iter_mut().enumerate() {
                    let is_new = start + place >= self.synced.len();
                    let stale = stale.get(start + place).filter(|_| is_new);
                    *byte = *stale.unwrap_or(byte);
                }
            }
            old
        });
        survivor.resize(length, 0);
        survivor
    }

    /// The bytes that `choose` chooses for each sector, given its number, the synced and the
    /// written bytes, filled up with zeros.
    fn sectors(
        &self,
        mut choose: impl FnMut(usize, [u8; SECTOR_BYTES], [u8; SECTOR_BYTES]) -> [u8; SECTOR_BYTES],
    ) -> Vec<u8> {
        let length = self.written.len().max(self.synced.len());
        let mut bytes = Vec::new();
        for number in 0..length.div_ceil(SECTOR_BYTES) {
            let (old, new) = (sector(&self.synced, number), sector(&self.written, number));
            bytes.extend_from_slice(&choose(number, old, new));
        }
        bytes
    }
}

fn sector(bytes: &[u8], number: usize) -> [u8; SECTOR_BYTES] {
    let mut sector = [0; SECTOR_BYTES];
    let start = bytes.len().min(number * SECTOR_BYTES);
    let bytes = &bytes[start..bytes.len().min(start + SECTOR_BYTES)];
    sector[..bytes.len()].copy_from_slice(bytes);
    sector
}

/// Numbers that depend on the seed alone (Steele, Lea and Flood, "Fast Splittable Pseudorandom
/// Number Generators", OOPSLA 2014, figure 17).
struct Random(u64);

impl Random {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ number >> 31) as usize % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Writes a file, a byte repeated, and leaves it open.
    fn write(disk: &mut Simulated, name: &str, byte: u8, bytes: usize) -> Box<dyn DiskFile> {
        let mut file = disk.create(name).expect("no fault");
        let bytes = vec![byte; bytes];
        assert_eq!(file.write(&bytes).ok(), Some(bytes.len()));
        file
    }

    /// The content of a file after many power failures now.
    fn survivors(disk: &Simulated, name: &str) -> BTreeSet<Option<Vec<u8>>> {
        let after = |seed| disk.after_power_loss(seed).content(name);
        (0..500).map(after).collect()
    }

    #[test]
    fn what_is_synced_survives() -> io::Result<()> {
        let mut disk = Simulated::new();
        let mut file = write(&mut disk, "a", 1, 700);
        file.sync()?;
        assert!(
            survivors(&disk, "a").contains(&None),
            "its name is not synced"
        );
        disk.sync_folder()?;
        let expected = Some(vec![1; 700]);
        assert_eq!(survivors(&disk, "a"), BTreeSet::from([expected.clone()]));
        file.write(&[2; 2_000])?;
        let survivors = survivors(&disk, "a");
        let longer =
            |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(|bytes| bytes[..700] == [1; 700]);
        assert!(survivors.iter().all(longer));
        assert!(survivors.contains(&expected) && survivors.len() > 100);
        Ok(())
    }

    #[test]
    fn sectors_survive_one_by_one() -> io::Result<()> {
        let mut disk = Simulated::new();
        write(&mut disk, "gone", 9, 5_000);
        disk.remove("gone")?;
        write(&mut disk, "a", 1, 4 * SECTOR_BYTES);
        disk.sync_folder()?;
        let mut kinds = BTreeSet::new();
        let mut lengths = BTreeSet::new();
        for bytes in survivors(&disk, "a").into_iter().flatten() {
            lengths.insert(bytes.len());
            let sectors: Vec<&[u8]> = bytes.chunks(SECTOR_BYTES).collect();
            assert!(
                sectors
                    .iter()
                    .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
            );
            if sectors.len() == 4 {
                kinds.insert([sectors[0][0], sectors[1][0], sectors[2][0], sectors[3][0]]);
            }
        }
        assert!(kinds.len() > 40, "of 81: {}", kinds.len());
        for kind in [[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 1]] {
            assert!(kinds.contains(&kind), "{kind:?}");
        }
        assert!(lengths.contains(&0) && lengths.len() > 100);
        Ok(())
    }

    #[test]
    fn an_emptied_file_is_the_old_one_or_the_new_one_or_between() -> io::Result<()> {
        let mut disk = Simulated::new();
        let mut file = write(&mut disk, "a", 1, 600);
        file.sync()?;
        disk.sync_folder()?;
        let mut file = write(&mut disk, "a", 2, 600);
        let unsynced = survivors(&disk, "a");
        let mixed = [vec![1; SECTOR_BYTES], vec![2; 600 - SECTOR_BYTES]].concat();
        for content in [vec![1; 600], vec![2; 600], vec![], mixed] {
            assert!(unsynced.contains(&Some(content)));
        }
        file.sync()?;
        assert_eq!(survivors(&disk, "a"), BTreeSet::from([Some(vec![2; 600])]));
        Ok(())
    }

    #[test]
    fn names_are_what_they_were_since_the_folder_was_synced() -> io::Result<()> {
        let mut disk = Simulated::new();
        disk.set_content("a", b"1");
        disk.set_content("b", b"2");
        disk.rename("a", "b")?;
        disk.create("c")?;
        disk.remove("c")?;
        write(&mut disk, "c", 3, 1);
        let names = |disk: &Simulated| {
            let after = |seed| {
                let after = disk.after_power_loss(seed);
                let names = ["a", "b", "c"].map(|name| after.content(name));
                // The bytes of the third were not synced.
                (names[0].clone(), names[1].clone(), names[2].is_some())
            };
            (0..200).map(after).collect::<BTreeSet<_>>()
        };
        let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
        let mut expected = BTreeSet::new();
        for a in [&one, &None] {
            for b in [&one, &two] {
                expected.extend([true, false].map(|c| (a.clone(), b.clone(), c)));
            }
        }
        assert_eq!(names(&disk), expected);
        disk.sync_folder()?;
        assert_eq!(names(&disk), BTreeSet::from([(None, one, true)]));
        Ok(())
    }

    #[test]
    fn what_a_failed_sync_drops_is_not_synced_by_the_next() -> io::Result<()> {
        let mut disk = Simulated::new();
        let mut file = write(&mut disk, "a", 1, 1_024);
        for _ in 0..2 {
            disk.fail_at(disk.calls() + 1, Fault::Error);
            assert!(disk.sync_folder().is_err());
            disk.sync_folder()?;
            assert!(survivors(&disk, "a").contains(&None));
            disk.fail_at(disk.calls() + 1, Fault::NoSpace);
            assert!(file.sync().is_err());
            file.write(&[2; 512])?;
            file.sync()?;
        }
        assert_eq!(disk.content("a").map(|bytes| bytes.len()), Some(2_048));
        disk.rename("a", "b")?;
        disk.sync_folder()?;
        let sectors = |bytes: Option<Vec<u8>>| {
            bytes
                .expect("it is synced")
                .chunks(512)
                .map(|sector| sector[0])
                .collect()
        };
        let survivors: BTreeSet<Vec<u8>> = survivors(&disk, "b").into_iter().map(sectors).collect();
        let expected = [[0, 0, 2, 2], [0, 1, 2, 2], [1, 0, 2, 2], [1, 1, 2, 2]];
        assert_eq!(survivors, expected.map(Vec::from).into());
        Ok(())
    }

    #[test]
    fn calls_fail_as_they_are_told() -> io::Result<()> {
        let mut disk = Simulated::new();
        let mut file = disk.create("a")?;
        for (fault, written) in [
            (Fault::Error, Err(ErrorKind::Other)),
            (Fault::NoSpace, Err(ErrorKind::StorageFull)),
            (Fault::Interrupted, Err(ErrorKind::Interrupted)),
            (Fault::Short, Ok(2)),
        ] {
            disk.fail_from(disk.calls() + 2, fault);
            assert_eq!(file.write(b"12345")?, 5);
            for _ in 0..2 {
                let result = file.write(b"1234");
                assert_eq!(result.map_err(|error| error.kind()), written);
                let list = disk.list().map_err(|error| error.kind());
                let expected = match fault {
                    Fault::Short | Fault::NoSpace => Ok(vec!["a".to_owned()]),
                    Fault::Error | Fault::Interrupted => written.map(|_| vec![]),
                };
                assert_eq!(list, expected);
            }
            disk.repair();
        }
        assert_eq!(
            disk.content("a").as_deref(),
            Some(&b"12345121212345121212345123451212"[..])
        );
        disk.cut_power_at(disk.calls() + 1);
        assert!(disk.rename("a", "b").is_err());
        assert!(disk.rename("b", "a").is_err() && disk.list().is_err());
        assert!(
            survivors(&disk, "b").len() > 1,
            "the last call may have been executed"
        );
        Ok(())
    }

    #[test]
    fn writes_and_syncs_are_held_and_nothing_else() -> io::Result<()> {
        let mut disk = Simulated::new();
        let mut file = disk.create("a")?;
        disk.hold();
        let thread = thread::spawn(move || file.write(b"1"));
        disk.wait_until_held();
        assert_eq!(disk.list()?, ["a"]);
        assert_eq!(disk.content("a").as_deref(), Some(&b""[..]));
        disk.release();
        assert_eq!(thread.join().expect("no panic")?, 1);
        assert_eq!(disk.content("a").as_deref(), Some(&b"1"[..]));
        Ok(())
    }
}
