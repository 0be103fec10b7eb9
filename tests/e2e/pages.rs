//! Lists that come in pages: all of them followed, in one order, with nothing lost and nothing twice.

use std::collections::BTreeSet;

use anyhow::Result;
use gateway_tests::fixture::{HttpFixture, Options};
use gateway_tests::servers::{configuration, fixture_on_stdio, remote};
use gateway_tests::{Era, Gateway, Session};

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");

#[tokio::test]
async fn every_page_of_every_server_is_listed_once_and_in_one_order() -> Result<()> {
    let many = Options {
        tools: 211,
        page_size: 10,
        empty_cursor: true,
        ..Options::default()
    };
    let many = HttpFixture::start(many).await?;
    let few = Options {
        tools: 3,
        page_size: 1,
        ..Options::default()
    };
    let few = HttpFixture::start(few).await?;
    let child = fixture_on_stdio(BINARY, &["--tools", "40", "--page-size", "7"])?;
    let config = configuration(&[
        ("many", remote(&many.url())),
        ("child", child),
        ("few", remote(&few.url())),
    ]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    for tool in ["many__tool-0210", "few__tool-0002", "child__tool-0039"] {
        gateway.wait_for_tool("/mcp", tool).await?;
    }
    let mut orders = BTreeSet::new();
    for era in Era::BOTH.repeat(3) {
        let names = Session::open(era, &gateway.url("/mcp"))
            .await?
            .tool_names()
            .await?;
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "a name came twice");
        assert_eq!(names.len(), 211 + 3 + 40 + 3 * 6);
        orders.insert(names);
    }
    assert_eq!(orders.len(), 1, "the order changed");
    gateway.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_of_one_server_lists_what_the_server_lists() -> Result<()> {
    let server = Options {
        tools: 25,
        page_size: 4,
        ..Options::default()
    };
    let server = HttpFixture::start(server).await?;
    let other = HttpFixture::start(Options::default()).await?;
    let config = configuration(&[
        ("one", remote(&server.url())),
        ("two", remote(&other.url())),
    ]);
    let gateway = Gateway::builder(BINARY).config(config).start().await?;
    gateway.wait_for_tool("/s/one/mcp", "tool-0024").await?;
    for era in Era::BOTH {
        let direct = Session::open(era, &server.url())
            .await?
            .tool_names()
            .await?;
        let through = Session::open(era, &gateway.url("/s/one/mcp"))
            .await?
            .tool_names()
            .await?;
        let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(sorted(&through), sorted(&direct));
        assert_eq!(through.len(), direct.len());
    }
    gateway.stop().await?;
    Ok(())
}
