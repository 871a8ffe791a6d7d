//! A disk in memory, which fails when a test says so.
