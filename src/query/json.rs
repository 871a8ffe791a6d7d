//! Strings of JSON.

/// Appends a string with its quotes, in ASCII, as Python's `json.dumps()` writes it.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for char in text.chars() {
        let short = match char {
            '"' | '\\' => char,
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            ' '..='~' => {
                out.push(char as u8);
                continue;
            }
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    let digits = [12, 8, 4, 0].map(|bits| usize::from(*unit >> bits & 15));
                    out.extend(digits.map(|digit| b"0123456789abcdef"[digit]));
                }
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short as u8]);
    }
    out.push(b'"');
}
