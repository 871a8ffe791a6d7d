//! A browser, driven by as much of WebDriver (<https://www.w3.org/TR/webdriver2/>) as the tests of the
//! page need: requests to `chromedriver`, with nothing but the standard library.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::support::{DEADLINE, skip_without, temporary_path};

/// Keys that are no characters, as WebDriver numbers them.
pub const END: char = '\u{e010}';
pub const LEFT: char = '\u{e012}';
pub const ESCAPE: char = '\u{e00c}';

/// A headless Chromium with a window of 1240 × 560 pixels. Ended when this is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    /// The path of the session: empty until there is one.
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// Starts one, in UTC. `None` if Chromium or its driver is not installed.
    ///
    /// # Panics
    ///
    /// If it is not installed, and `METRICD_REQUIRE_PEERS` is set.
    pub fn start(name: &str) -> Option<Browser> {
        let (Some(chromium), Some(_)) = (installed("chromium"), installed("chromedriver")) else {
            skip_without("chromium, or chromedriver,");
            return None;
        };
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("TZ", "UTC");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut driver = command.stdout(Stdio::piped()).spawn().expect("starts");
        let stdout = driver.stdout.take().expect("a pipe");
        let mut browser = Browser {
            driver,
            address: address_in(BufReader::new(stdout)),
            session: String::new(),
            profile: temporary_path(&format!("profile-{name}")),
        };
        browser.open_session(&chromium);
        Some(browser)
    }

    fn open_session(&mut self, chromium: &str) {
        let profile = self.profile.display();
        let flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking \
            disable-component-update disable-sync hide-scrollbars force-color-profile=srgb window-size=1240,560";
        let flags: String = flags
            .split_whitespace()
            .map(|flag| format!("\"--{flag}\","))
            .collect();
        let answer = self.ask("POST", "/session", &format!(
            r#"{{"capabilities":{{"alwaysMatch":{{
                "timeouts":{{"script":{deadline},"pageLoad":{deadline}}},
                "goog:loggingPrefs":{{"browser":"ALL"}},
                "goog:chromeOptions":{{"binary":"{chromium}","args":[{flags}"--user-data-dir={profile}"]}}
            }}}}}}"#,
            deadline = DEADLINE.as_millis(),
        )).expect("an answer");
        let id = answer
            .split_once(r#""sessionId":""#)
            .and_then(|(_, rest)| rest.split_once('"'));
        self.session = format!("/session/{}", id.unwrap_or_else(|| panic!("{answer}")).0);
        self.resize(1240, 560);
    }

    /// Makes the window so large, in pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let size =
            format!(r#""width":{width},"height":{height},"deviceScaleFactor":1,"mobile":false"#);
        let command = r#""cmd":"Emulation.setDeviceMetricsOverride""#;
        self.command(
            "goog/cdp/execute",
            &format!("{{{command},\"params\":{{{size}}}}}"),
        );
    }

    /// Opens a page, and waits until it is loaded. Another fragment alone would not load it again.
    pub fn open(&self, url: &str) {
        for url in ["about:blank", url] {
            self.command("url", &format!("{{\"url\":{}}}", quoted(url)));
        }
    }

    /// Waits until this expression of JavaScript is something else than nothing, zero or false, and
    /// returns it as text.
    #[track_caller]
    pub fn wait_for(&self, expression: &str) -> String {
        // Encoded, so that what comes back can be read without a parser of JSON.
        let script = format!(
            "const done = arguments[0];
            const poll = () => {{
                const value = {expression};
                if (value) done(encodeURIComponent(value)); else setTimeout(poll, 20);
            }};
            poll();"
        );
        let body = format!("{{\"script\":{},\"args\":[]}}", quoted(&script));
        let answer = self
            .ask("POST", &format!("{}/execute/async", self.session), &body)
            .expect("an answer");
        let value = answer
            .strip_prefix(r#"{"value":""#)
            .and_then(|rest| rest.strip_suffix("\"}"));
        decoded(value.unwrap_or_else(|| panic!("waiting for {expression}: {answer}")))
    }

    /// Presses a key and lets it go.
    pub fn press(&self, key: char) {
        let actions =
            ["keyDown", "keyUp"].map(|kind| format!(r#"{{"type":"{kind}","value":"{key}"}}"#));
        self.act("key", "keyboard", &actions.join(","));
    }

    /// Presses the mouse's button at one place of the window, and lets it go at another.
    pub fn drag(&self, from: (u32, u32), to: (u32, u32)) {
        let go = |(x, y)| format!(r#"{{"type":"pointerMove","duration":0,"x":{x},"y":{y}}}"#);
        let button = |kind| format!(r#"{{"type":"{kind}","button":0}}"#);
        let actions = [go(from), button("pointerDown"), go(to), button("pointerUp")];
        self.act("pointer", "mouse", &actions.join(","));
    }

    fn act(&self, kind: &str, id: &str, actions: &str) {
        let body =
            format!(r#"{{"actions":[{{"type":"{kind}","id":"{id}","actions":[{actions}]}}]}}"#);
        self.command("actions", &body);
    }

    /// What the console was told since the last call, as JSON: errors, and what the page's policy forbade.
    pub fn console(&self) -> String {
        self.command("se/log", r#"{"type":"browser"}"#)
    }

    /// The window as a PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let answer = self
            .ask("GET", &format!("{}/screenshot", self.session), "")
            .expect("an answer");
        let value = answer
            .strip_prefix(r#"{"value":""#)
            .and_then(|rest| rest.strip_suffix("\"}"));
        from_base64(value.unwrap_or_else(|| panic!("{answer}")))
    }

    #[track_caller]
    fn command(&self, path: &str, body: &str) -> String {
        let answer = self
            .ask("POST", &format!("{}/{path}", self.session), body)
            .expect("an answer");
        assert!(!answer.contains(r#""error":"#), "{path} {body}: {answer}");
        answer
    }

    /// One request on a connection of its own, and the body of its answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, DEADLINE)?;
        stream.set_read_timeout(Some(2 * DEADLINE))?;
        let (host, length) = (self.address, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}");
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            } else if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        Ok(String::from_utf8(answer).expect("text"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Ends Chromium. If it cannot, the driver is ended all the same.
            self.ask("DELETE", &self.session, "").ok();
        }
        self.driver.kill().expect("is ended");
        self.driver.wait().expect("has ended");
        fs::remove_dir_all(&self.profile).ok(); // Chromium may have left none
    }
}

/// The path of a program.
fn installed(program: &str) -> Option<String> {
    let mut folders = env::split_paths(&env::var_os("PATH")?)
        .collect::<Vec<_>>()
        .into_iter();
    let path =
        folders.find_map(|folder| Some(folder.join(program)).filter(|path| path.is_file()))?;
    path.into_os_string().into_string().ok()
}

/// Where the driver listens: it says so in a line.
fn address_in(stdout: impl BufRead) -> SocketAddr {
    let mut lines = stdout.lines().map_while(Result::ok);
    let port = lines.find_map(|line| {
        Some(
            line.rsplit_once("successfully on port ")?
                .1
                .trim_end_matches('.')
                .to_string(),
        )
    });
    let port = port.expect("the driver starts").parse().expect("a port");
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A text as JSON, and JavaScript, have it.
pub fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|character| match character {
        '"' | '\\' => format!("\\{character}"),
        '\0'..='\x1f' => format!("\\u{:04x}", u32::from(character)),
        _ => character.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Undoes `encodeURIComponent`.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("hexadecimal"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).expect("text")
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text
        .bytes()
        .filter_map(|byte| DIGITS.iter().position(|&digit| digit == byte));
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0, 0);
    for digit in digits {
        (bits, count) = (bits << 6 | digit, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}
