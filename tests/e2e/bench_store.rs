//! The benchmark of the stores runs, and has a figure for everything that it promises.

use anyhow::Result;

mod admin_client;
#[path = "../bench/store/measure.rs"]
mod measure;

use measure::{Extent, Store, measure, table};

#[tokio::test]
async fn every_store_has_its_figures() -> Result<()> {
    let extent = Extent {
        tenants: 12,
        writers: 3,
        changes: 2,
        rounds: 1,
        bench: false,
    };
    for store in [Store::Sqlite, Store::Postgres] {
        let figures = measure(store, &extent).await?;
        assert!(figures.filling > 0.0 && figures.changing > 0.0);
        assert!(!figures.listing.is_zero() && !figures.start.is_zero());
        assert!(figures.memory.resident > 0);
        let table = table(&[figures]);
        assert!(table.contains(&format!("| {store:?} | 12 |")), "{table}");
    }
    Ok(())
}
