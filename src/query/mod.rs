//! Queries in Graphite's language: which series, over which time, and what is made of them.

pub mod functions;
mod pattern;
mod series;
mod time;
