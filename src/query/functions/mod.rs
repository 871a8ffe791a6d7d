//! The functions of the language: one table.
