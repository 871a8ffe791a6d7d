//! The table: a block a case, a row a server.

mod grid;
mod terminal;

pub use terminal::{for_terminal, wrapped};
