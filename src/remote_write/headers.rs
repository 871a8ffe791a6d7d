//! Headers of requests, which an operator keeps in a file of lines such as `Authorization: Bearer …`.
//!
//! It is read for each request, so a change counts at once. It should be replaced by renaming another file: one
//! that is rewritten in place may be read half written.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::invalid;
use crate::http::is_of_token;

/// The most bytes of the file. Servers take much shorter heads.
const FILE_MAX_BYTES: u64 = 65_536;

/// Headers that the client sets itself, or that would change how the request or the answer is framed.
const RESERVED: &str = "Accept-Encoding Connection Content-Encoding Content-Length Content-Type Expect \
    Host Keep-Alive Proxy-Connection TE Trailer Transfer-Encoding Upgrade User-Agent \
    X-Prometheus-Remote-Write-Version";

fn check(file: &Metadata) -> io::Result<()> {
    if !file.is_file() {
        return Err(invalid("it is not a regular file"));
    }
    if file.mode() & 0o077 != 0 {
        let message = "others than its owner may read or change it: chmod 600 it";
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    }
    if file.len() > FILE_MAX_BYTES {
        return Err(invalid("it is longer than 65536 bytes"));
    }
    Ok(())
}

/// Reads a file. Returns its lines as in the head of a request, each ended by `\r\n`.
///
/// # Errors
///
/// If it cannot be read, others than its owner may read or change it, or a line is not a header that may be
/// set. The message is for an operator and contains no value.
pub fn read(path: &Path) -> io::Result<String> {
    // Otherwise, to open a pipe would wait for a writer, and a terminal could come to control the process.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::options()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    check(&file.metadata()?)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    lines_of(&text)
}

/// Turns the lines of a file into those of a head. Blank lines and those that begin with `#` are left out.
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

/// Splits a line into name and value. An error repeats nothing of the line: even the text before the colon
/// may be secret.
fn check_line(line: &str) -> Result<(&str, &str), &'static str> {
    let colon = line.bytes().position(|byte| byte == b':');
    let (name, value) = line.split_at(colon.ok_or("it is not NAME: VALUE")?);
    if name.is_empty() || !name.bytes().all(is_of_token) {
        return Err("the name before the colon is empty or has a character that names do not have");
    }
    let mut reserved = RESERVED.split(' ');
    if reserved.any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return Err("metricd sets this header itself, or does not support it");
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
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

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
            ("\n\nsecret s: x", Err("line 3: the name before the colon")),
            (" A: secret", Err("line 1: the name")),
            ("A : secret", Err("line 1: the name")),
            (": secret", Err("line 1: the name")),
            ("\u{feff}A: secret", Err("line 1: the name")),
            ("Ä: secret", Err("line 1: the name")),
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
        for name in RESERVED.split(' ') {
            assert!(lines_of(&format!("{}: x", name.to_ascii_lowercase())).is_err());
        }
        assert!(lines_of("A: 1\nB: 2\n").unwrap().ends_with("1\r\nB: 2\r\n"));
    }

    #[test]
    fn files_that_are_not_secret_or_no_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let limit = FILE_MAX_BYTES as usize;
        let full = [b'\n'].repeat(limit);
        for (text, mode, expected) in [
            (&b"A: secret"[..], 0o600, None),
            (b"A: secret", 0o400, None),
            (b"A: secret", 0o700, None),
            (b"A: secret", 0o604, Some("chmod 600")),
            (b"A: secret", 0o640, Some("chmod 600")),
            (b"A: secret", 0o602, Some("chmod 600")),
            (b"A: secret", 0o620, Some("chmod 600")),
            (b"A: secret", 0o601, Some("chmod 600")),
            (b"A: secret", 0o610, Some("chmod 600")),
            (&full, 0o600, None),
            (
                &[&full[..], b"\n"].concat(),
                0o600,
                Some("longer than 65536"),
            ),
            (b"A: secret\xff", 0o600, Some("UTF-8")),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = read(&path).err().map(|error| error.to_string());
            let is_expected = match (&refusal, expected) {
                (Some(refusal), Some(reason)) => {
                    refusal.contains(reason) && !refusal.contains("secret")
                }
                (refusal, expected) => refusal.is_none() && expected.is_none(),
            };
            assert!(is_expected, "{refusal:?}, not {expected:?} for {mode:o}");
            fs::remove_file(&path).unwrap();
        }
        let refusal = read(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains("not a regular file"), "{refusal}");
        let missing = read(&path).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_not_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let refusal = read(&path).unwrap_err().to_string();
        assert!(refusal.contains("not a regular file"), "{refusal}");
    }
}
