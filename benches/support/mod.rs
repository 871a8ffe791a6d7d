//! What the benches share: a server as a process, a client, series of points, tables.

pub mod client;
pub mod folder;
pub mod latency;
pub mod process;
pub mod series;
pub mod table;
