//! The benchmark of the audit log runs, and has a figure for everything that it promises.

use anyhow::Result;

#[path = "../bench/audit/measure.rs"]
mod measure;

use measure::{Extent, measure, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_durability_has_its_figures() -> Result<()> {
    let extent = Extent {
        rounds: 1,
        calls: 5,
        events: 50,
        waiting: 2000,
        bench: false,
    };
    let figures = measure(&extent).await?;
    assert!(figures.calls.len() >= 5);
    assert!(figures.calls.iter().all(|(_, took)| took.len() == 5));
    assert!(figures.events.iter().all(|(_, took)| took.len() == 50));
    assert!(figures.opening < figures.delivering);
    let table = table(&figures);
    println!("{table}");
    assert!(table.contains("| `durability: sink` | "), "{table}");
    assert!(table.contains("A spool of 2000 events"), "{table}");
    Ok(())
}
