//! Test doubles and conformance suites; a dev-dependency only.
