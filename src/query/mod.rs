//! Queries in Graphite's language: which series, over which time, and what is made of them.

pub mod aggregation;
pub mod arguments;
pub mod find;
pub mod functions;
pub mod interval;
mod json;
mod number;
pub mod pattern;
mod regex;
pub mod series;
pub mod target;
mod time;
pub mod window;
