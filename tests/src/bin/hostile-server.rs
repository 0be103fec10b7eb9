//! The hostile server as a process on standard input and output.

fn main() -> anyhow::Result<()> {
    gateway_tests::hostile::serve_stdio()
}
