//! The benchmark of a loud neighbour runs, and has a figure for everything that it promises.

use anyhow::Result;

#[path = "../bench/neighbour/measure.rs"]
mod measure;

use measure::{Extent, Loud, measure, percentile, table};

#[tokio::test]
async fn a_quiet_tenant_is_served_beside_a_loud_one() -> Result<()> {
    let extent = Extent {
        rounds: 1,
        calls: 20,
        rate: 10,
        times: 10,
        max_tenant_requests: 8,
        bench: false,
    };
    let figures = measure(&extent).await?;
    for (one, loud) in figures.iter().zip(Loud::ALL) {
        assert_eq!(one.loud, loud);
        assert_eq!(one.took.len(), 20);
        assert!(percentile(&one.took, 50) <= percentile(&one.took, 99));
        let others = &one.others;
        let calls = others.answered + others.refused + others.hanging;
        assert_eq!(calls, if loud == Loud::Nowhere { 0 } else { 200 });
    }
    // What hangs takes its places, and none of the quiet tenant's.
    let beside = &figures[2].others;
    assert!(beside.hanging >= 8 && beside.refused > 0, "{beside:?}");
    let table = table(&figures);
    assert!(table.contains("| Beside | "), "{table}");
    Ok(())
}
