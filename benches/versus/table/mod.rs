//! The table: a block a case, a row a server; for the terminal, and as Markdown.

mod grid;
mod markdown;
mod terminal;

pub use markdown::{as_markdown, escaped};
pub use terminal::{for_terminal, wrapped};
