//! The wire protocol and the limits, as clients see them: `contract` has the rules one by one,
//! `chunking` any chunking of the same bytes, `clients` many and misbehaving clients, `limits`
//! each limit at its edge.

#[path = "../support/mod.rs"]
mod support;

mod chunking;
mod clients;
mod contract;
mod limits;
mod oracle;
