//! What clients are promised, once more over Unix sockets: see `wire/`.

#[path = "wire/chunking.rs"]
mod chunking;
#[path = "wire/clients.rs"]
mod clients;
#[path = "wire/contract.rs"]
mod contract;
#[path = "wire/limits.rs"]
mod limits;
#[path = "wire/oracle.rs"]
mod oracle;
mod support;
