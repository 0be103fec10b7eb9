//! The .proto files, the generated code, and conversions to core types.
