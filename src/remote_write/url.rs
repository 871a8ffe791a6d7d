//! The URL of a receiver.

use std::fmt;
use std::net::Ipv6Addr;

/// The parts of `http://HOST[:PORT][/PATH][?QUERY]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub is_secure: bool,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// The value of the `Host` header: the host with brackets, and the port unless it is the usual one.
    pub authority: String,
    /// Path and query, as in the first line of a request. It begins with `/`.
    pub target: String,
}

/// Without the query, which may contain secrets.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        let (path, _) = self.target.split_once('?').unwrap_or((&self.target, ""));
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl Url {
    /// Parses a URL. Escapes such as `%20` stay as they are.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a message for an operator. It does not contain the URL, which may have a password.
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "a URL has only visible ASCII characters: escape others, such as a blank as %20",
            );
        }
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let is_secure = scheme.eq_ignore_ascii_case("https");
        if !is_secure && !scheme.eq_ignore_ascii_case("http") {
            return Err("a URL begins with http:// or https://");
        }
        if is_secure && cfg!(not(feature = "tls")) {
            return Err("https needs a metricd built with --features tls");
        }
        if rest.contains('#') {
            return Err(
                "a # and what follows are never sent: leave them out, or escape the # as %23",
            );
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(
                "a user and a password belong in a file, as an Authorization line: see --remote-write-header-file",
            );
        }
        let (host, port) = split_port(authority);
        let usual = if is_secure { 443 } else { 80 };
        let port = port.map_or(Ok(usual), port_of)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url {
            is_secure,
            host: bare_host(host)?.to_owned(),
            port,
            authority: match port == usual {
                true => host.to_owned(),
                false => format!("{host}:{port}"),
            },
            target: format!("{slash}{target}"),
        })
    }
}

/// Splits `HOST[:PORT]`. The colons of an IPv6 address are in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let host_end = authority.find(']').unwrap_or(0);
    match authority[host_end..].split_once(':') {
        Some((rest, port)) => (&authority[..host_end + rest.len()], Some(port)),
        None => (authority, None),
    }
}

fn port_of(digits: &str) -> Result<u16, &'static str> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let port = digits.parse().ok().filter(|&port| is_number && port > 0);
    port.ok_or("a port is a number from 1 to 65535; an IPv6 address needs brackets")
}

/// The host without brackets, if it is valid.
fn bare_host(host: &str) -> Result<&str, &'static str> {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = bracketed {
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(address),
            Err(_) => Err("the text in brackets is not an IPv6 address"),
        };
    }
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match host {
        "" => Err("the host is missing"),
        _ if host.bytes().all(is_of_name) => Ok(host),
        _ => Err("a host is a name, an IPv4 address, or an IPv6 address in brackets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_parts() {
        for (text, host, port, authority, target) in [
            ("http://h", "h", 80, "h", "/"),
            ("http://h:80/", "h", 80, "h", "/"),
            (
                "HTTP://h:8428/api/v1/write",
                "h",
                8428,
                "h:8428",
                "/api/v1/write",
            ),
            ("http://a-b_c.d:1?x=1", "a-b_c.d", 1, "a-b_c.d:1", "/?x=1"),
            (
                "http://1.2.3.4:65535/%20%zz?a=%26&b=@:?",
                "1.2.3.4",
                65535,
                "1.2.3.4:65535",
                "/%20%zz?a=%26&b=@:?",
            ),
            ("http://[::1]/a//b", "::1", 80, "[::1]", "/a//b"),
            (
                "http://[fe80::A]:9/]:7",
                "fe80::A",
                9,
                "[fe80::A]:9",
                "/]:7",
            ),
            ("http://h/a://b", "h", 80, "h", "/a://b"),
        ] {
            let expected = Url {
                is_secure: false,
                host: host.to_owned(),
                port,
                authority: authority.to_owned(),
                target: target.to_owned(),
            };
            assert_eq!(Url::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "begins with http://"),
            ("h:8428", "begins with http://"),
            ("//h", "begins with http://"),
            ("ftp://h", "begins with http://"),
            ("http:/h", "begins with http://"),
            ("http://", "host is missing"),
            ("http:///write", "host is missing"),
            ("http://:80/", "host is missing"),
            ("http://?x", "host is missing"),
            ("http://h:/", "a port is"),
            ("http://h:0/", "a port is"),
            ("http://h:65536/", "a port is"),
            ("http://h:+80/", "a port is"),
            ("http://h:80x/", "a port is"),
            ("http://h:1:2/", "a port is"),
            ("http://::1/", "a port is"),
            ("http://[::1]x/", "a host is"),
            ("http://[::1/", "a port is"),
            ("http://[h]/", "not an IPv6 address"),
            ("http://[]/", "not an IPv6 address"),
            ("http://[fe80::1%25eth0]/", "not an IPv6 address"),
            ("http://h%20/", "a host is"),
            ("http://h\\x/", "a host is"),
            ("http://h/#x", "a #"),
            ("http://h#x", "a #"),
            ("http://me:secret@h/", "--remote-write-header-file"),
            ("http://me@h/", "--remote-write-header-file"),
            ("http://h/a b", "only visible"),
            (" http://h/", "only visible"),
            ("http://h/\n", "only visible"),
            ("http://h/\u{7f}", "only visible"),
            ("http://h/ä", "only visible"),
        ] {
            let refusal = Url::parse(text).expect_err(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
            assert!(!refusal.contains("secret"));
        }
    }

    #[test]
    fn https_needs_the_feature() {
        let parsed = Url::parse("https://h:443/write");
        if cfg!(feature = "tls") {
            let url = parsed.expect("https");
            assert!(url.is_secure);
            assert_eq!((url.port, &*url.authority), (443, "h"));
        } else {
            assert_eq!(
                parsed,
                Err("https needs a metricd built with --features tls")
            );
        }
    }
}
