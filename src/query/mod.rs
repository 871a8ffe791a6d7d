//! Queries in Graphite's language: which series, over which time, and what is made of them.

pub mod aggregation;
pub mod arguments;
mod evaluate;
mod failure;
pub mod find;
mod format;
pub mod functions;
pub mod interval;
mod json;
mod number;
pub mod pattern;
mod regex;
mod render;
pub mod series;
mod source;
mod steps;
pub mod target;
mod time;
pub mod window;

pub use self::failure::Failure;
pub use self::render::render;
