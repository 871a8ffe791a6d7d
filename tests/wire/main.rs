//! The wire protocol and the limits, as clients see them: rule by rule in `contract`, any
//! chunking of the same bytes in `chunking`, many and bad clients in `clients`, each limit at
//! its edge in `limits`.

#[path = "../support/mod.rs"]
mod support;

mod chunking;
mod clients;
mod contract;
mod limits;
mod oracle;
