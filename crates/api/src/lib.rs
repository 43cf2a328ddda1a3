//! Promises: wire types, error codes and exit codes.
