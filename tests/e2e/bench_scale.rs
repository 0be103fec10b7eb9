//! The benchmark of many tenants and replicas runs, and has a figure for everything that it promises.

use anyhow::Result;

mod admin_client;
#[path = "../bench/scale/measure.rs"]
mod measure;

use measure::{Extent, measure};

#[tokio::test]
async fn everything_at_scale_has_its_figure() -> Result<()> {
    let extent = Extent {
        tenants: 20,
        servers: 2,
        replicas: 5,
        changes: 3,
        seconds: 1,
        calls: 3,
        bench: false,
    };
    let table = measure(&extent).await?.to_string();
    for what in [
        "20 tenants of 2 servers",
        "20 new replicas at once have everything",
        "4 replicas that hold everything come at once",
        "a change at rest, to 1 replica, p99",
        "a change at rest, to the last of 5 replicas, p99",
        "5 replicas follow",
        "memory at its peak",
        "a data plane has everything",
        "a change at rest, until it is in force, p99",
        "the same by its cache",
        "the difference",
    ] {
        assert!(table.contains(what), "{what} is not in\n{table}");
    }
    Ok(())
}
