//! Strings of JSON.

/// Appends a string, in ASCII, with its quotes.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            ' '..='~' => out.push(character as u8),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    let digits = [12, 8, 4, 0].map(|bits| usize::from(*unit >> bits & 15));
                    out.extend(digits.map(|digit| b"0123456789abcdef"[digit]));
                }
            }
        }
    }
    out.push(b'"');
}
