//! The wire between the planes: the generated protobuf types and their conversions to core types.

pub mod admin {
    //! What administrators do.

    #[expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        clippy::too_many_lines,
        reason = "generated code"
    )]
    pub mod v1 {
        //! Version 1.

        tonic::include_proto!("gateway.admin.v1");
    }
}

pub mod config {
    //! A tenant's configuration.

    pub mod v1 {
        //! Version 1.

        tonic::include_proto!("gateway.config.v1");
    }
}

pub mod push {
    //! How a replica of the data plane takes its configuration.

    #[expect(
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::excessive_nesting,
        reason = "generated code"
    )]
    pub mod v1 {
        //! Version 1.

        tonic::include_proto!("gateway.push.v1");
    }
}

mod convert;
mod hello;

pub use convert::{DecodeError, InvalidField, Refusal, decode, encode};

/// The descriptors of every .proto file, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
