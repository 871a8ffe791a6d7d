//! The page at `/`: one file, with its style and its script in it.

use super::fresh;
use crate::http::{Answer, Body};

/// `page.html`, compressed by the build.
///
/// It is handed out as it is. All browsers take gzip, and a request without `Accept-Encoding` takes any
/// coding (RFC 9110, section 12.5.3). One that refuses gzip gets it all the same, though the section
/// recommends no coding then: nothing here could unpack it.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.gz"));

/// Nothing is run or shown but what is in the file, by the SHA-256 of its one script and its one style;
/// and nothing is fetched but from here.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
    script-src 'sha256-2Fi7j/6MbPuFNLCxtt6hsa6mgExkvK8LqsDj3g+13B8='; \
    style-src 'sha256-P6/k9UUTp4CdN0l/HHztB6rHpE/x+FnZ7DwWzURfAPA='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn answer() -> Answer {
    let mut answer = fresh("text/html; charset=utf-8", Body::Whole(PACKED.into()));
    let headers = [
        ("Content-Encoding", "gzip"),
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "no-referrer"),
    ];
    answer.head.headers.extend(headers);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256, as FIPS 180-4 (section 6.2) has it.
    fn sha256(bytes: &[u8]) -> [u8; 32] {
        let primes = (2u64..).filter(|&n| (2..n).all(|divisor| n % divisor != 0));
        let primes: Vec<f64> = primes.take(64).map(|prime| prime as f64).collect();
        // 32 bits of the fractions of cube roots, and of square roots.
        let bits = |root: f64| (root.fract() * 4_294_967_296.0) as u32;
        let constants: Vec<u32> = primes.iter().map(|prime| bits(prime.cbrt())).collect();
        let mut hash: Vec<u32> = primes[..8].iter().map(|prime| bits(prime.sqrt())).collect();
        let mut padded = [bytes, &[0x80]].concat();
        padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
        padded.extend((bytes.len() as u64 * 8).to_be_bytes());
        for block in padded.chunks(64) {
            let words = block
                .chunks(4)
                .map(|word| word.iter().fold(0, |all, &byte| all << 8 | u32::from(byte)));
            let mut words: Vec<u32> = words.collect();
            for at in 16..64 {
                let (x, y) = (words[at - 15], words[at - 2]);
                let x = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
                let y = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
                words.push(
                    [words[at - 16], x, words[at - 7], y]
                        .iter()
                        .fold(0, |sum, &one| sum.wrapping_add(one)),
                );
            }
            let mut state = hash.clone();
            for at in 0..64 {
                let (a, e) = (state[0], state[4]);
                let mixed_e = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let chosen = e & state[5] ^ !e & state[6];
                let mixed_a = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let majority = a & state[1] ^ a & state[2] ^ state[1] & state[2];
                let one = [state[7], mixed_e, chosen, constants[at], words[at]];
                let one = one.iter().fold(0u32, |sum, &next| sum.wrapping_add(next));
                state.rotate_right(1);
                state[0] = one.wrapping_add(mixed_a).wrapping_add(majority);
                state[4] = state[4].wrapping_add(one);
            }
            hash.iter_mut()
                .zip(state)
                .for_each(|(hash, state)| *hash = hash.wrapping_add(state));
        }
        let mut digest = [0; 32];
        digest
            .chunks_mut(4)
            .zip(hash)
            .for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
        digest
    }

    fn base64(bytes: &[u8]) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let bits = (0..3).fold(0, |all, at| {
                all << 8 | usize::from(*chunk.get(at).unwrap_or(&0))
            });
            for digit in 0..4 {
                let is_padding = digit > chunk.len();
                text.push(if is_padding {
                    '='
                } else {
                    alphabet[bits >> (18 - 6 * digit) & 63].into()
                });
            }
        }
        text
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        for (text, digest) in [
            ("", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
            ("abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        ] {
            assert_eq!(base64(&sha256(text.as_bytes())), digest);
        }
        assert_eq!(
            base64(&sha256(&[b'a'; 1_000])),
            "Qe3s5C1j6Nm/UVqbppMuHCDLyfWl0TRkWttdsblzfqM="
        );
    }

    #[test]
    fn the_policy_allows_what_the_page_has() {
        let page = include_str!("page.html");
        let mut expected = POLICY.to_string();
        for element in ["script", "style"] {
            let (before, after) = page
                .split_once(&format!("<{element}>"))
                .unwrap_or((page, ""));
            let (inside, after) = after
                .split_once(&format!("</{element}>"))
                .unwrap_or(("", after));
            assert!(
                !before.contains(&format!("<{element}")) && !after.contains(&format!("<{element}")),
                "one {element}"
            );
            let (policy, after) = expected
                .split_once(&format!("{element}-src 'sha256-"))
                .expect("a hash");
            let after = after.split_once('\'').expect("its end").1;
            expected = format!(
                "{policy}{element}-src 'sha256-{}'{after}",
                base64(&sha256(inside.as_bytes()))
            );
        }
        assert_eq!(POLICY, expected, "the page has changed: this is its policy");
        for attribute in [" style=", " onclick=", " onload=", "javascript:"] {
            assert!(
                !page.contains(attribute),
                "{attribute} is not run or shown under this policy"
            );
        }
    }
}
