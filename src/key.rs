//! The name of a series.

/// A key, which may be any text.
///
/// It holds bytes that are known to be UTF-8. To make a `&str` of them, [`str::from_utf8`] would
/// have to check them once more, which takes longer than looking up the series.
///
/// ```
/// let key = metricd::Key::from("palm.cpu");
/// assert_eq!(key.as_bytes(), b"palm.cpu");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key<'text> {
    /// UTF-8.
    bytes: &'text [u8],
}

impl<'text> Key<'text> {
    /// Makes a key of text that is all ASCII.
    pub(crate) fn of_ascii(bytes: &'text [u8]) -> Key<'text> {
        debug_assert!(bytes.is_ascii());
        Key { bytes }
    }

    /// The text, in UTF-8.
    pub fn as_bytes(self) -> &'text [u8] {
        self.bytes
    }
}

impl<'text> From<&'text str> for Key<'text> {
    fn from(text: &'text str) -> Key<'text> {
        Key {
            bytes: text.as_bytes(),
        }
    }
}

impl From<Key<'_>> for Box<str> {
    fn from(key: Key<'_>) -> Box<str> {
        str::from_utf8(key.bytes).expect("a key is UTF-8").into()
    }
}
