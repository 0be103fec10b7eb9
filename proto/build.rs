//! Generates Rust code from the .proto files, in pure Rust: no protoc is needed.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const FILES: [&str; 6] = [
    "gateway/admin/v1/admin.proto",
    "gateway/admin/v1/host.proto",
    "gateway/admin/v1/resources.proto",
    "gateway/admin/v1/token.proto",
    "gateway/config/v1/config.proto",
    "gateway/push/v1/push.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=gateway");

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;

    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out_dir.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        // Sorted maps encode the same configuration to the same bytes every time.
        .btree_map(".")
        // Much larger than the YAML that it stands beside.
        .boxed(".gateway.admin.v1.ApplyTenantRequest.document.config")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
