//! Which keys a pattern stands for.

/// A pattern of keys, whose nodes dots separate. `*` stands for any characters of a node, `?` for one,
/// `[a-z]` for one of these, `{a,b}` for either text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {}
