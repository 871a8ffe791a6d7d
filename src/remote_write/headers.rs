//! Lines of the head of each request that an operator keeps in a file.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use crate::http::is_of_token;

/// A file of lines such as `Authorization: Bearer …`, read again when it has changed.
#[derive(Clone)]
pub struct HeaderFile {
    path: PathBuf,
    /// As in the head of a request.
    lines: String,
    /// The file that `lines` are from, if it can be told from what it will be after a change.
    known: Option<Version>,
}

/// What tells a file from the one that was read.
#[derive(Clone, PartialEq, Eq)]
struct Version {
    /// Where it is, how long, and who may read it,
    place: (u64, u64, u64, u32),
    /// when its content changed last, and
    modified: (i64, i64),
    /// when anything of it did, in seconds and nanoseconds.
    changed: (i64, i64),
}

/// The most bytes of the file: many times what any server takes as a head.
const FILE_MAX_BYTES: u64 = 65_536;

/// Some file systems note times in steps as long as this. A file that changed so lately may change once more
/// and look the same.
const TIME_STEP: Duration = Duration::from_secs(2);

/// What the client sets itself, or what would change how the request is framed or the answer is written.
const RESERVED: [&str; 15] = [
    "Accept-Encoding",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Expect",
    "Host",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "X-Prometheus-Remote-Write-Version",
];

impl HeaderFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// If it cannot be read, others than its owner may read or change it, or a line is no header that
    /// may be set. In words for an operator; no value is ever part of it.
    pub fn open(path: &Path) -> io::Result<HeaderFile> {
        let mut file = HeaderFile {
            path: path.into(),
            lines: String::new(),
            known: None,
        };
        file.lines()?;
        Ok(file)
    }

    /// The lines, each with its end, as they are now. One call to the system, unless the file has changed.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn lines(&mut self) -> io::Result<&str> {
        self.update().map_err(|error| {
            self.known = None;
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })?;
        Ok(&self.lines)
    }

    fn update(&mut self) -> io::Result<()> {
        let found = fs::metadata(&self.path)?;
        if self.known.as_ref() == Some(&Version::of(&found)) {
            return Ok(());
        }
        // To open a pipe or a device could wait, or do something.
        check(&found)?;
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(&self.path)?;
        // Another file may have come to stand there meanwhile.
        let opened = file.metadata()?;
        check(&opened)?;
        self.lines = lines_of(&read(file, opened.len())?)?;
        let version = Version::of(&opened);
        self.known = version.is_settled(SystemTime::now()).then_some(version);
        Ok(())
    }
}

/// Not the lines: they are secret.
impl fmt::Debug for HeaderFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeaderFile").field(&self.path).finish()
    }
}

impl Version {
    fn of(file: &Metadata) -> Version {
        Version {
            place: (file.dev(), file.ino(), file.size(), file.mode()),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether a change from now on gives it other times.
    fn is_settled(&self, now: SystemTime) -> bool {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = since.saturating_sub(TIME_STEP).as_secs();
        i64::try_from(settled)
            .is_ok_and(|settled| self.changed.0 < settled && self.modified.0 < settled)
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}

fn check(file: &Metadata) -> io::Result<()> {
    if !file.is_file() {
        return Err(invalid("it is no regular file"));
    }
    if file.mode() & 0o077 != 0 {
        let message = "others than its owner may read or change it: chmod 600 it";
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// What stands in a file of this length.
fn read(mut file: File, length: u64) -> io::Result<String> {
    if length > FILE_MAX_BYTES {
        return Err(invalid("it is longer than 65536 bytes"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

/// The lines of a head, from those of a file. Blank lines and those that begin with `#` are left out.
fn lines_of(text: &str) -> io::Result<String> {
    let mut lines = String::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_ascii().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            check_line(line).map_err(|reason| invalid(format!("line {}: {reason}", index + 1)))?;
        for part in [name, ": ", value, "\r\n"] {
            lines.push_str(part);
        }
    }
    Ok(lines)
}

/// Name and value of a line. The reason why it is refused repeats nothing of it: even what stands where a name
/// should may be secret.
fn check_line(line: &str) -> Result<(&str, &str), &'static str> {
    let colon = line.bytes().position(|byte| byte == b':');
    let (name, value) = line.split_at(colon.ok_or("it is not NAME: VALUE")?);
    if name.is_empty() || !name.bytes().all(is_of_token) {
        return Err("what stands before the colon is no name of a header");
    }
    if RESERVED
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
    {
        return Err("metricd sets this header itself, or cannot do what it asks for");
    }
    let value = value[1..].trim_ascii();
    // RFC 9110, section 5.5.
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err("the value has a control character");
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process;

    /// A folder that is removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path =
                std::env::temp_dir().join(format!("metricd-headers-{name}-{}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn write(&self, name: &str, text: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0)); // It is in the way of nobody.
        }
    }

    fn set_times(path: &Path, seconds: u64) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    #[test]
    fn lines_are_those_of_a_head() {
        let long = format!("A: {}\n", "b".repeat(FILE_MAX_BYTES as usize - 4));
        for (text, expected) in [
            ("", Ok("")),
            ("\n \t\r\n# Authorization: no\n#\n", Ok("")),
            (
                "Authorization: Bearer a:b==",
                Ok("Authorization: Bearer a:b==\r\n"),
            ),
            (
                "A:1\r\nb!#$%&'*+-.^_`|~9: \t2 \t3\t \r\nc:\n",
                Ok("A: 1\r\nb!#$%&'*+-.^_`|~9: 2 \t3\r\nc: \r\n"),
            ),
            ("X: ä", Ok("X: ä\r\n")),
            (&long, Ok(&*long)),
            ("secret", Err("line 1: it is not NAME: VALUE")),
            (
                "\n\nsecret s: x",
                Err("line 3: what stands before the colon is no name"),
            ),
            (" A: secret", Err("line 1: what")),
            ("A : secret", Err("line 1: what")),
            (": secret", Err("line 1: what")),
            ("\u{feff}A: secret", Err("line 1: what")),
            ("Ä: secret", Err("line 1: what")),
            ("A: sec\rret", Err("line 1: the value has a control")),
            ("A: sec\rret\r\r\n", Err("line 1: the value has a control")),
            ("A: secret\u{0}", Err("line 1: the value has a control")),
            ("A: secret\u{7f}", Err("line 1: the value has a control")),
            ("host: secret", Err("line 1: metricd sets")),
            ("user-agent: secret", Err("line 1: metricd sets")),
        ] {
            match (lines_of(text), expected) {
                (Ok(lines), Ok(expected)) => {
                    assert_eq!(lines.replace("\r\n", "\n"), expected.replace("\r\n", "\n"))
                }
                (Err(error), Err(reason)) => {
                    let error = error.to_string();
                    assert!(error.contains(reason) && !error.contains("sec"), "{error}");
                }
                (lines, expected) => panic!("{text:?}: {lines:?}, {expected:?}"),
            }
        }
        for name in RESERVED {
            assert!(lines_of(&format!("{}: x", name.to_ascii_lowercase())).is_err());
        }
        assert!(lines_of("A: 1\nB: 2\n").unwrap().ends_with("1\r\nB: 2\r\n"));
    }

    #[test]
    fn files_that_are_not_secret_or_no_files_are_refused() {
        let folder = Folder::new("refused");
        let open = |name: &str, text: &[u8], mode| {
            let error = HeaderFile::open(&folder.write(name, text, mode)).err();
            error.map(|error| error.to_string())
        };
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(open(&format!("{mode:o}"), b"A: 1", mode), None);
        }
        for mode in [0o604, 0o640, 0o602, 0o620, 0o601, 0o610, 0o644] {
            let refusal = open(&format!("{mode:o}"), b"A: secret", mode).expect("refused");
            assert!(
                refusal.contains("chmod 600") && !refusal.contains("secret"),
                "{refusal}"
            );
        }
        let limit = FILE_MAX_BYTES as usize;
        assert_eq!(open("full", &[b'\n'].repeat(limit), 0o600), None);
        let refusal = open("long", &[b'\n'].repeat(limit + 1), 0o600);
        assert!(refusal.expect("refused").contains("longer than 65536"));
        assert!(
            open("bytes", b"A: \xff", 0o600)
                .expect("refused")
                .contains("UTF-8")
        );
        assert!(
            HeaderFile::open(&folder.0)
                .unwrap_err()
                .to_string()
                .contains("no regular file")
        );
        let missing = HeaderFile::open(&folder.0.join("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = Folder::new("pipe");
        let path = folder.0.join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(
            HeaderFile::open(&path)
                .unwrap_err()
                .to_string()
                .contains("no regular file")
        );
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = Folder::new("changed");
        let path = folder.write("file", b"A: 1", 0o600);
        let mut file = HeaderFile::open(&path).unwrap();
        assert_eq!(file.lines().unwrap(), "A: 1\r\n");
        // At once, to the same length, with the same time.
        folder.write("file", b"A: 2", 0o600);
        set_times(&path, 1_000_000_000);
        assert_eq!(file.lines().unwrap(), "A: 2\r\n");
        folder.write("file", b"A: 3", 0o600);
        set_times(&path, 1_000_000_000);
        assert_eq!(file.lines().unwrap(), "A: 3\r\n");
        // By another file that takes its name.
        fs::rename(folder.write("other", b"A: 4", 0o600), &path).unwrap();
        assert_eq!(file.lines().unwrap(), "A: 4\r\n");
        // Unreadable for a while.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(file.lines().is_err());
        assert!(file.lines().is_err());
        fs::remove_file(&path).unwrap();
        assert!(file.lines().is_err());
        folder.write("file", b"A: 5", 0o600);
        assert_eq!(file.lines().unwrap(), "A: 5\r\n");
    }

    #[test]
    fn a_file_that_has_not_changed_is_not_read_again() {
        let folder = Folder::new("kept");
        let path = folder.write("file", b"A: 1", 0o600);
        let mut file = HeaderFile::open(&path).unwrap();
        assert!(
            file.known.is_none(),
            "it may change within the same step of time"
        );
        file.known = Some(Version::of(&fs::metadata(&path).unwrap()));
        file.lines.push_str("B: 2\r\n");
        assert_eq!(file.lines().unwrap(), "A: 1\r\nB: 2\r\n");
    }

    #[test]
    fn a_version_settles_when_its_times_are_some_seconds_old() {
        let version = |modified, changed| Version {
            place: (1, 2, 3, 4),
            modified: (modified, 0),
            changed: (changed, 0),
        };
        let now = UNIX_EPOCH + Duration::from_secs(100);
        for (modified, changed, is_settled) in [
            (97, 97, true),
            (98, 97, false),
            (97, 98, false),
            (200, 97, false),
        ] {
            assert_eq!(version(modified, changed).is_settled(now), is_settled);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let folder = Folder::new("debug");
        let path = folder.write("file", b"A: secret", 0o600);
        let file = HeaderFile::open(&path).unwrap();
        assert!(!format!("{file:?}").contains("secret"));
    }
}
