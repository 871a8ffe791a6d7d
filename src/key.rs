//! The name of a series.

/// A key: any text.
///
/// A slice of text that is known to be such without looking through it once more, which
/// [`str::from_utf8`] would take longer for than looking up the series does.
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
    /// The key that is this text, all of it ASCII.
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
        // Nothing is lost of what is UTF-8.
        String::from_utf8_lossy(key.bytes).into()
    }
}
