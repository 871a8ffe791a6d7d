//! The file of a Unix socket: in place when the server listens, gone when it does not.

use std::ffi::OsString;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// How often, and how long after each other, the lock of a folder is tried. Another start has it for
/// less than a millisecond.
const LOCK_ATTEMPTS: usize = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The file of a socket that listens. It is removed when this is dropped, which must be before the
/// socket is closed: until then nobody takes it for the file of a dead server.
#[derive(Debug)]
pub struct SocketFile {
    pub path: PathBuf,
    /// Device and inode, which say whether the file is still this one.
    identity: (u64, u64),
}

impl SocketFile {
    /// Listens at `path`. When the file appears there, it has `mode` and clients can connect. One that
    /// a dead server left is replaced.
    ///
    /// # Errors
    ///
    /// If a server listens there, another kind of file is there, or the system refuses. The message
    /// says what to do.
    pub fn listen(path: &Path, mode: u32) -> io::Result<(SocketFile, Socket)> {
        let mut aside = OsString::from(path);
        aside.push("~");
        let aside = PathBuf::from(aside);
        let address = unix_address(&aside)?;
        let folder = match aside.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let _until_it_is_in_place = lock(folder)?;
        is_left_over(path)?;
        if is_left_over(&aside)? {
            fs::remove_file(&aside)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket
            .bind(&address)
            .map_err(|error| in_folder(folder, error))?;
        let mut file = SocketFile {
            identity: identity(&aside)?,
            path: aside.clone(),
        };
        fs::set_permissions(&aside, Permissions::from_mode(mode))?;
        // The queue is as long as the system allows.
        socket.listen(i32::MAX)?;
        fs::rename(&aside, path)?;
        file.path = path.into();
        Ok((file, socket))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if is_own && let Err(error) = fs::remove_file(&self.path) {
            // The next start replaces it.
            warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

fn unix_address(path: &Path) -> io::Result<SockAddr> {
    SockAddr::unix(path).map_err(|_| {
        let bytes = path.as_os_str().len() - 1;
        let message =
            format!("a path of {bytes} bytes is too long for a socket: choose a shorter one");
        io::Error::new(ErrorKind::InvalidInput, message)
    })
}

/// Has no other server that starts look at the same files until the lock is dropped, so that of two
/// servers that find the file of a dead one only one replaces it. There is no lock where the file
/// system has none, or the folder cannot be read.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let Ok(folder) = File::open(folder) else {
        return Ok(None);
    };
    for _ in 0..LOCK_ATTEMPTS {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            // Another server starts. This one serves nobody yet.
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
    let message = "another program has locked the folder: end it, or choose another folder";
    Err(io::Error::new(ErrorKind::WouldBlock, message))
}

/// Whether there is a file, which can only be that of a dead server: else this is an error.
fn is_left_over(path: &Path) -> io::Result<bool> {
    let error = |kind, what| {
        let what = format!("{} {what}, or choose another path", path.display());
        Err(io::Error::new(kind, what))
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Ok(file) if !file.file_type().is_socket() => {
            return error(ErrorKind::AlreadyExists, "is not a socket: remove it");
        }
        found => found.map(drop)?,
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Else it waits while the queue of the server is full.
    socket.set_nonblocking(true)?;
    let connected = socket.connect(&unix_address(path)?);
    match connected.map_err(|error| error.kind()) {
        Err(ErrorKind::ConnectionRefused) => Ok(true),
        Err(ErrorKind::NotFound) => Ok(false),
        Err(ErrorKind::PermissionDenied) => error(
            ErrorKind::PermissionDenied,
            "is a socket that may not be connected to, to find out whether its server is dead: remove it",
        ),
        _ => error(ErrorKind::AddrInUse, "has a server already: stop that"),
    }
}

/// What to do about a folder in which no file can be created.
fn in_folder(folder: &Path, error: io::Error) -> io::Error {
    let folder = folder.display();
    let what = match error.kind() {
        ErrorKind::NotFound => format!("there is no folder {folder}: create it"),
        ErrorKind::PermissionDenied => {
            format!("{error}: the server must be allowed to create files in {folder}")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// A path in a folder of its own.
    fn new_path(name: &str) -> PathBuf {
        let own_id = std::process::id();
        let folder = std::env::temp_dir().join(format!("metricd-{own_id}-{name}"));
        fs::create_dir(&folder).expect("a new folder");
        folder.join("socket")
    }

    #[track_caller]
    fn remove_folder_of(path: &Path) {
        // Fails if anything is left in it.
        fs::remove_dir(path.with_file_name("")).expect("an empty folder");
    }

    fn leave_dead_file(path: &Path) {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket
            .bind(&unix_address(path).expect("is short"))
            .expect("binds");
    }

    #[test]
    fn of_those_who_begin_at_the_same_moment_one_listens() {
        const STARTS: usize = 3;
        let path = &new_path("race");
        let begin = Barrier::new(STARTS);
        let start = || {
            begin.wait();
            SocketFile::listen(path, 0o600)
        };
        for is_replaced in [false, true].repeat(50) {
            if is_replaced {
                leave_dead_file(path);
            }
            let started = thread::scope(|scope| {
                let threads = [(); STARTS].map(|()| scope.spawn(start));
                threads.map(|thread| thread.join().expect("does not panic"))
            });
            let refused = started.iter().filter_map(|started| started.as_ref().err());
            let refused: Vec<ErrorKind> = refused.map(io::Error::kind).collect();
            assert_eq!(refused, [ErrorKind::AddrInUse; STARTS - 1]);
            assert!(path.exists());
        }
        remove_folder_of(path);
    }

    #[test]
    fn whoever_finds_the_file_finds_its_mode_and_can_connect() {
        const ROUNDS: usize = 5_000;
        let path = &new_path("mode");
        let address = unix_address(path).expect("is short");
        let (begin, end) = (Barrier::new(2), Barrier::new(2));
        let mut found = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    begin.wait();
                    let listening = SocketFile::listen(path, 0o604);
                    end.wait();
                    // The file is dropped before the socket, so that it never looks dead.
                    listening.expect("listens");
                }
            });
            for _ in 0..ROUNDS {
                let client = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
                begin.wait();
                let file = loop {
                    if let Ok(file) = fs::symlink_metadata(path) {
                        break file;
                    }
                };
                let connected = client.connect(&address);
                end.wait();
                found.push((file.permissions().mode() & 0o7777, connected.is_ok()));
            }
        });
        found.retain(|found| *found != (0o604, true));
        assert_eq!(found, []);
        remove_folder_of(path);
    }

    #[test]
    fn a_server_with_a_full_queue_lives() {
        let path = &new_path("full");
        let (file, socket) = SocketFile::listen(path, 0o600).expect("listens");
        socket.listen(0).expect("takes a shorter queue");
        let address = unix_address(path).expect("is short");
        let mut clients = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
            client.set_nonblocking(true).expect("takes the mode");
            if client.connect(&address).is_err() {
                break;
            }
            clients.push(client);
        }
        let refused = SocketFile::listen(path, 0o600).expect_err("has a server");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        drop(file);
        remove_folder_of(path);
    }

    #[test]
    fn a_folder_that_is_locked_is_waited_for_and_then_an_error() {
        let path = &new_path("lock");
        let folder = File::open(path.with_file_name("")).expect("a folder");
        folder.lock().expect("is locked");
        let refused = SocketFile::listen(path, 0o600).expect_err("is locked");
        assert!(refused.to_string().contains("locked"), "{refused}");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| SocketFile::listen(path, 0o600).map(drop));
            folder.unlock().expect("is unlocked");
            let listened = waiting.join().expect("does not panic");
            listened.expect("listens");
        });
        remove_folder_of(path);
    }
}
