//! Test harness, fixture servers and benchmarks.
