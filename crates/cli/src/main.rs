//! The `ark-os` binary.
fn main() {}
