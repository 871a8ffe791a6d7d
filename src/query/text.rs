//! Searches in texts. Each is compiled once; the standard library's are inlined wherever they are called.

/// What is before and after the first `mark`, if there is one.
#[inline(never)]
pub fn cut(text: &str, mark: char) -> Option<(&str, &str)> {
    text.split_once(mark)
}

/// Whether any of these characters, which are ASCII, is in a text.
#[inline(never)]
pub fn has_any(text: &str, characters: &[u8]) -> bool {
    text.bytes().any(|byte| characters.contains(&byte))
}
