//! The usual arrangement: one gateway in front of one fixture, with the fixture's tools listed.

use crate::fixture::{HttpFixture, Options};
use crate::gateway::Gateway;
use crate::raw::RawClient;
use crate::servers::{configuration, remote};

#[derive(Debug)]
pub struct Setup {
    pub gateway: Gateway,
    /// The server that the gateway knows as `fixture`.
    pub fixture: HttpFixture,
    pub client: RawClient,
    /// The gateway's endpoint for all servers, of which there is one, so that nothing is renamed.
    pub url: String,
}

impl Setup {
    pub async fn start(binary: &str) -> anyhow::Result<Self> {
        Self::start_with(binary, &[]).await
    }

    /// With environment variables, such as those that stand for flags.
    pub async fn start_with(binary: &str, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let fixture = HttpFixture::start(Options::default()).await?;
        let config = configuration(&[("fixture", remote(&fixture.url()))]);
        let mut builder = Gateway::builder(binary).config(config);
        for (name, value) in variables {
            builder = builder.variable(name, value);
        }
        let gateway = builder.start().await?;
        gateway.wait_for_tool("/mcp", "echo").await?;
        let url = gateway.url("/mcp");
        Ok(Self {
            gateway,
            fixture,
            client: RawClient::default(),
            url,
        })
    }
}
