//! What the fuzz targets of `tests/fuzz` reach of this crate, and nobody else.

pub use crate::over_mcp::fuzzing::{Readings, read_answer};
