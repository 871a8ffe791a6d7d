//! What the journal asks of a disk: the files of one folder.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::error::explained;

/// The file in a [`Folder`] that its user has locked.
const LOCK: &str = "lock";

/// Mode of files: only their owner may read them.
const FILE_MODE: u32 = 0o600;

/// Mode of the folder.
const FOLDER_MODE: u32 = 0o700;

/// Device and inode of a file.
type Identity = (u64, u64);

fn identity(found: &Metadata) -> Identity {
    (found.dev(), found.ino())
}

/// The files of one folder, by their names in it.
///
/// Any call to it or to a [`DiskFile`] may fail with [`Interrupted`](ErrorKind::Interrupted), and may then be
/// [tried again](retried). What is written, created, renamed or removed may be lost when the power fails, until
/// it is synced.
pub trait FileSystem: Send {
    /// Another handle to the same folder, which is not to be used once this one is dropped.
    fn share(&self) -> Box<dyn FileSystem>;

    /// The names of all files, in no order. Those that are not UTF-8 are left out.
    fn list(&mut self) -> io::Result<Vec<String>>;

    /// How many bytes a file has.
    fn size(&mut self, name: &str) -> io::Result<u64>;

    /// Creates a file for writing from its beginning on, or empties the one of this name.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading.
    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, and removes the file that had that before.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Takes all but the first `bytes` off a file.
    fn shorten(&mut self, name: &str, bytes: u64) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Returns when all files that were created, renamed and removed are so on the medium.
    fn sync_folder(&mut self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Reads some of the bytes from this offset on into `room`, and returns how many: 0 at the end of the
    /// file.
    fn read(&mut self, offset: u64, room: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes` after those that were written before, and returns how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Returns when all that is written to the file is on the medium, whatever becomes of its
    /// name. If it fails, what was written before may be lost even if the next sync succeeds.
    fn sync(&mut self) -> io::Result<()>;

    /// Sets the length of a file that is open for writing: takes bytes off its end, or adds zeros. Where the
    /// next bytes are written stays the same.
    fn set_length(&mut self, bytes: u64) -> io::Result<()>;
}

impl dyn DiskFile + '_ {
    /// Writes all bytes, in as many calls as it takes.
    pub fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match retried(|| self.write(bytes))? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Fills `room` with the bytes from this offset on, in as many calls as it takes. Returns how many there
    /// were: fewer only at the end of the file.
    pub fn read_all(&mut self, offset: u64, room: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while length < room.len() {
            match retried(|| self.read(offset + length as u64, &mut room[length..]))? {
                0 => break,
                count => length += count,
            }
        }
        Ok(length)
    }

    /// So many bytes from this offset on, which are text.
    pub fn read_text(&mut self, offset: u64, bytes: usize) -> io::Result<String> {
        let mut text = vec![0; bytes];
        match self.read_all(offset, &mut text)? {
            length if length < bytes => Err(ErrorKind::UnexpectedEof.into()),
            _ => String::from_utf8(text)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}

/// Repeats `call` while it is interrupted.
pub fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Descriptors that are kept for files to come: a journal, a checkpoint and the folder itself. Clients
/// may take all others.
const SPARE_DESCRIPTORS: usize = 3;

/// A real folder, which no other process uses meanwhile.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Which file `lock` is, if it was locked.
    locked: Option<Identity>,
    /// Copies of the lock, given up for files.
    spare: Vec<File>,
    /// Locked until it is closed, at the latest by the end of the process.
    lock: Option<File>,
}

impl Folder {
    /// Locks a folder, which is created if there is none. Only its owner may use it then.
    ///
    /// # Errors
    ///
    /// With a text for people where the path is no folder, the folder is in use or cannot be
    /// written to; else the system's error.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let created = match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(explained("cannot create it")(error));
            }
            result => result.is_ok(),
        };
        // The working directory may change later.
        let path = path.canonicalize()?;
        if created && let Some(parent) = path.parent() {
            // Else the folder itself may be lost when the power fails.
            File::open(parent)?.sync_all()?;
        }
        if !path.is_dir() {
            return Err(io::Error::new(ErrorKind::NotADirectory, "not a folder"));
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(FILE_MODE);
        let lock = options
            .open(path.join(LOCK))
            .map_err(explained("cannot write the file `lock` in it"))?;
        match lock.try_lock() {
            Ok(()) => {
                let mut folder = Folder::unlocked(&path);
                folder.locked = Some(identity(&lock.metadata()?));
                folder.lock = Some(lock);
                folder.spare_descriptors();
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => {
                let text = "in use by another metricd";
                Err(io::Error::new(ErrorKind::ResourceBusy, text))
            }
            Err(TryLockError::Error(error)) => Err(explained("cannot lock it")(error)),
        }
    }

    /// A folder that exists, for files that nobody else changes.
    pub fn unlocked(path: &Path) -> Folder {
        Folder {
            path: path.into(),
            locked: None,
            spare: Vec::new(),
            lock: None,
        }
    }

    /// The path of a file in the folder. Fails if the file `lock` is not the one that was locked: another folder
    /// may be at this path, or another process may use this one, and its files must be left alone.
    fn at(&self, name: &str) -> io::Result<PathBuf> {
        let found = match fs::metadata(self.path.join(LOCK)) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            found => Some(identity(&found?)),
        };
        if self.locked.is_some() && self.locked != found {
            let text = "the folder, or the file `lock` in it, was moved, removed or replaced (put it back, or restart)";
            return Err(io::Error::other(text));
        }
        Ok(self.path.join(name))
    }

    /// Takes descriptors for files to come, as far as there are any.
    fn spare_descriptors(&mut self) {
        let copies = self
            .lock
            .iter()
            .flat_map(|lock| iter::repeat_with(|| lock.try_clone()));
        let missing = SPARE_DESCRIPTORS - self.spare.len();
        self.spare
            .extend(copies.take(missing).map_while(Result::ok));
    }

    /// Gives up a descriptor for the file that is opened next.
    fn give_up_descriptor(&mut self) {
        // A file may have been closed just now: its descriptor is taken back before a client that waits gets it.
        self.spare_descriptors();
        drop(self.spare.pop());
    }
}

impl FileSystem for Folder {
    fn share(&self) -> Box<dyn FileSystem> {
        Box::new(Folder {
            // The lock stays with this one.
            locked: self.locked,
            ..Folder::unlocked(&self.path)
        })
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        self.give_up_descriptor();
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at("")?)? {
            names.extend(entry?.file_name().into_string());
        }
        self.spare_descriptors();
        Ok(names)
    }

    fn size(&mut self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.at(name)?)?.len())
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.give_up_descriptor();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        Ok(Box::new(options.mode(FILE_MODE).open(self.at(name)?)?))
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.at(name)?;
        // Opening a pipe would wait for its writer.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a file"));
        }
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from)?, self.path.join(to))
    }

    fn shorten(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.at(name)?)?;
        file.set_len(bytes)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        // The file may have been closed just now, because it could not be written. Its descriptor is taken back
        // before a client that waits gets it: otherwise each attempt would lose one.
        self.spare_descriptors();
        fs::remove_file(self.at(name)?)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.give_up_descriptor();
        File::open(self.at("")?)?.sync_all()?;
        self.spare_descriptors();
        Ok(())
    }
}

impl DiskFile for File {
    fn read(&mut self, offset: u64, room: &mut [u8]) -> io::Result<usize> {
        self.read_at(room, offset)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()?;
        if count_names(self)? == 0 {
            return Err(io::Error::new(ErrorKind::NotFound, "the file was removed"));
        }
        Ok(())
    }

    fn set_length(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

/// How many names a file has. Linux is asked for nothing else: once somebody has asked for the times of a file,
/// the next write gives it new ones, and the next sync takes twice as long.
fn count_names(file: &File) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    if let Ok(found) = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK)
        && found.stx_mask & StatxFlags::NLINK.bits() != 0
    {
        return Ok(found.stx_nlink.into());
    }
    Ok(file.metadata()?.nlink())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        let metadata = fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    }

    /// The whole content of a file.
    fn content(folder: &mut Folder, name: &str) -> io::Result<Vec<u8>> {
        let mut file = folder.open(name)?;
        let (mut content, mut room) = (Vec::new(), [0; 3]);
        loop {
            match file.read(content.len() as u64, &mut room)? {
                0 => return Ok(content),
                length => content.extend(&room[..length]),
            }
        }
    }

    #[test]
    fn files_are_what_was_done_to_them() -> io::Result<()> {
        let temporary = tempfile::tempdir()?;
        let path = temporary.path().join("new");
        let mut folder = Folder::open(&path)?;
        let mut file = folder.create("a")?;
        assert_eq!(file.write(b"abcdef")?, 6);
        file.sync()?;
        folder.sync_folder()?;
        assert_eq!(content(&mut folder, "a")?, b"abcdef");
        folder.create("b")?;
        folder.rename("a", "b")?;
        assert_eq!(content(&mut folder, "b")?, b"abcdef");
        let (mut file, mut room) = (folder.open("b")?, [0; 4]);
        for (offset, expected) in [(3, &b"def"[..]), (1, b"bcde"), (6, b"")] {
            let length = file.read(offset, &mut room)?;
            assert_eq!(&room[..length], expected);
        }
        let mut names = folder.list()?;
        names.sort();
        assert_eq!(names, ["b", "lock"]);
        assert_eq!(folder.spare.len(), SPARE_DESCRIPTORS);
        for name in ["b", "lock"] {
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
        assert_eq!(mode(&path), 0o700);
        folder.shorten("b", 4)?;
        assert_eq!(content(&mut folder, "b")?, b"abcd");
        let mut file = folder.create("b")?;
        file.write(b"ab")?;
        file.set_length(5)?;
        file.write(b"cd")?;
        assert_eq!(content(&mut folder, "b")?, b"abcd\0");
        // Another file of this name is left alone.
        folder.rename("b", "old")?;
        folder.create("b")?;
        file.set_length(3)?;
        assert_eq!(content(&mut folder, "old")?, b"abc");
        assert_eq!(content(&mut folder, "b")?, b"");
        folder.remove("old")?;
        folder.create("b")?;
        assert_eq!(content(&mut folder, "b")?, b"");
        folder.remove("b")?;
        assert_eq!(folder.list()?, ["lock"]);
        let gone = [
            folder.open("b").err(),
            folder.remove("b").err(),
            folder.shorten("b", 0).err(),
            folder.rename("b", "c").err(),
        ];
        for error in gone {
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::NotFound));
        }
        Ok(())
    }

    #[test]
    fn a_folder_has_one_user_at_a_time_and_keeps_its_files() -> io::Result<()> {
        let path = tempfile::tempdir()?;
        let mut folder = Folder::open(path.path())?;
        folder.create("a")?;
        let error = Folder::open(path.path()).expect_err("it is in use");
        assert_eq!(error.to_string(), "in use by another metricd");
        drop(folder);
        assert_eq!(content(&mut Folder::open(path.path())?, "a")?, b"");
        Ok(())
    }

    #[test]
    fn another_folder_at_its_path_is_left_alone() -> io::Result<()> {
        let temporary = tempfile::tempdir()?;
        let [path, moved] = ["a", "b"].map(|name| temporary.path().join(name));
        let mut folder = Folder::open(&path)?;
        folder.create("new")?;
        fs::rename(&path, &moved)?;
        Folder::open(&path)?.create("old")?;
        for mut folder in [folder.share(), Box::new(folder)] {
            let errors = [
                folder.list().err(),
                folder.size("old").err(),
                folder.create("old").err(),
                folder.open("old").err(),
                folder.rename("old", "new").err(),
                folder.shorten("old", 0).err(),
                folder.remove("old").err(),
                folder.sync_folder().err(),
            ];
            for error in errors {
                let error = error.expect("it is another folder");
                assert!(error.to_string().contains("replaced"), "{error}");
            }
            fs::rename(&path, path.with_extension("other"))?;
            fs::rename(&moved, &path)?;
            folder.size("new")?;
            fs::rename(&path, &moved)?;
            fs::rename(path.with_extension("other"), &path)?;
        }
        assert!(path.join("old").exists());
        Ok(())
    }

    #[test]
    fn what_is_no_folder_is_refused_and_left_alone() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("file");
        fs::write(&file, "content")?;
        fs::create_dir_all(folder.path().join("locked/lock"))?;
        for (path, expected) in [
            ("file", "not a folder"),
            ("file/below", "cannot create it: Not a directory"),
            ("none/below", "cannot create it: No such file or directory"),
            (
                "locked",
                "cannot write the file `lock` in it: Is a directory",
            ),
        ] {
            let error = Folder::open(&folder.path().join(path)).expect_err(path);
            assert!(error.to_string().starts_with(expected), "{path}: {error}");
        }
        assert_eq!(fs::read(&file)?, b"content");
        Ok(())
    }
}
