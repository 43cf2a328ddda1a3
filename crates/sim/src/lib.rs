//! Doubts: seeded faults around the real loop.
