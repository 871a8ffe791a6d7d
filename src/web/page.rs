//! The page at `/`: one file, with its style and its script in it.

use super::fresh;
use crate::http::{Answer, Body};

/// `page.html` in the block format of Snappy, which takes half of its bytes.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/page.snappy"));

/// Nothing is run or shown but what is in the file, by the SHA-256 of its one script and its one style;
/// and nothing is fetched but from here.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
    script-src 'sha256-2Fi7j/6MbPuFNLCxtt6hsa6mgExkvK8LqsDj3g+13B8='; \
    style-src 'sha256-P6/k9UUTp4CdN0l/HHztB6rHpE/x+FnZ7DwWzURfAPA='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn answer() -> Answer {
    let mut answer = fresh("text/html; charset=utf-8", Body::Whole(unpack(PACKED)));
    let headers = [
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "no-referrer"),
    ];
    answer.head.headers.extend(headers);
    answer
}

/// Decompresses what the build packed.
///
/// The format: <https://github.com/google/snappy/blob/main/format_description.txt>. Copies with offsets
/// of four bytes are left out, since blocks have at most 64 KB.
fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    // The length comes first, in groups of seven bits.
    let length_bytes = 1 + packed.iter().take_while(|&&byte| byte >= 128).count();
    let mut rest = &packed[length_bytes..];
    while let [tag, after @ ..] = rest {
        let (kind, bits) = (tag & 3, usize::from(tag >> 2));
        // Then a number of so many bytes.
        let number_bytes = if kind == 0 {
            bits.saturating_sub(59)
        } else {
            kind.into()
        };
        let (number, after) = after.split_at(number_bytes);
        let number = number
            .iter()
            .rfold(0, |all, &byte| all << 8 | usize::from(byte));
        rest = after;
        let (distance, length) = match kind {
            0 => {
                let length = 1 + if number_bytes > 0 { number } else { bits };
                page.extend_from_slice(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
            1 => (bits >> 3 << 8 | number, (bits & 7) + 4),
            _ => (number, bits + 1),
        };
        // What is copied may be bytes that this appends.
        for _ in 0..length {
            page.push(page[page.len() - distance]);
        }
    }
    page
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

    #[test]
    fn the_page_is_as_it_was_packed() {
        assert!(unpack(PACKED) == include_bytes!("page.html"));
    }

    #[test]
    fn whatever_is_packed_is_unpacked() {
        let far = [vec![7; 70_000], (0..=255).collect(), vec![7; 300]].concat();
        for block in [
            &b""[..],
            b"a",
            &[1; 60],
            &[1; 61],
            &(0..=255).collect::<Vec<_>>(),
            &far,
        ] {
            let packed = snap::raw::Encoder::new()
                .compress_vec(block)
                .expect("packed");
            assert!(unpack(&packed) == block, "{} bytes", block.len());
        }
    }
}
