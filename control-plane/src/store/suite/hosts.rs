//! What every store does with host names.

use std::sync::Arc;

use gateway_core::HostName;

use super::{change, tenant};
use crate::store::*;

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn record(host: &str, of: &str) -> HostRecord {
    HostRecord {
        host: name(host),
        tenant: tenant(of),
        created_at: "2026-11-26T10:00:00.5Z".parse().unwrap(),
        author: "ada".to_owned(),
    }
}

async fn add(store: &Arc<dyn Store>, host: &str, of: &str) -> Result<(), AddHostError> {
    let new = NewHost {
        record: record(host, of),
        reason: "new".to_owned(),
    };
    store.add_host(new).await
}

async fn remove(store: &Arc<dyn Store>, host: &str) -> Option<HostRecord> {
    let removal = HostRemoval {
        host: name(host),
        removed_at: "2026-11-27T10:00:00Z".parse().unwrap(),
        author: "bob".to_owned(),
        reason: "gone".to_owned(),
    };
    store.remove_host(removal).await.unwrap()
}

async fn table(store: &Arc<dyn Store>, since: u64) -> Option<Vec<String>> {
    let heads = store.heads_since(since).await.unwrap();
    let table = heads.hosts?;
    let shown = table
        .iter()
        .map(|(host, tenant)| format!("{host}={tenant}"));
    Some(shown.collect())
}

pub(in crate::store) async fn a_host_name_stands_for_one_tenant(store: Arc<dyn Store>) {
    add(&store, "acme.example", "acme").await.unwrap();
    for of in ["acme", "zoo"] {
        let taken = add(&store, "acme.example", of).await.unwrap_err();
        assert!(matches!(taken, AddHostError::Exists), "{taken:?}");
    }
    assert_eq!(table(&store, 0).await.unwrap(), ["acme.example=acme"]);
    let removed = remove(&store, "acme.example").await;
    assert_eq!(removed, Some(record("acme.example", "acme")));
    assert_eq!(remove(&store, "acme.example").await, None);
    add(&store, "acme.example", "zoo").await.unwrap();
    assert_eq!(table(&store, 0).await.unwrap(), ["acme.example=zoo"]);
    // What was refused has left no trace.
    assert_eq!(store.heads_since(0).await.unwrap().sequence, 3);
}

pub(in crate::store) async fn host_names_come_with_what_has_changed(store: Arc<dyn Store>) {
    assert_eq!(table(&store, 0).await, None);
    store.write(change("acme", 0, "one")).await.unwrap();
    add(&store, "b.example", "acme").await.unwrap();
    let read = store.heads_since(1).await.unwrap();
    assert_eq!((read.sequence, read.heads), (2, Vec::new()));
    add(&store, "a.example", "never").await.unwrap();
    assert_eq!(
        table(&store, 2).await.unwrap(),
        ["a.example=never", "b.example=acme"]
    );
    assert_eq!(table(&store, 3).await, None);
    store.write(change("acme", 1, "two")).await.unwrap();
    assert_eq!(table(&store, 3).await, None);
    for host in ["a.example", "b.example"] {
        remove(&store, host).await.unwrap();
    }
    assert_eq!(table(&store, 4).await.unwrap(), [""; 0]);
}

pub(in crate::store) async fn host_names_are_listed_in_pages(store: Arc<dyn Store>) {
    for (host, of) in [
        ("c.example", "acme"),
        ("a.example", "zoo"),
        ("a-b.example", "acme"),
        ("d.example", "acme"),
    ] {
        add(&store, host, of).await.unwrap();
    }
    let page = async |of: Option<&str>, after: Option<&str>| -> Vec<String> {
        let (of, after) = (of.map(tenant), after.map(name));
        let found = store.hosts(of.as_ref(), after.as_ref(), 2).await.unwrap();
        found.iter().map(|one| one.host.to_string()).collect()
    };
    assert_eq!(page(None, None).await, ["a-b.example", "a.example"]);
    let rest = page(None, Some("a.example")).await;
    assert_eq!(rest, ["c.example", "d.example"]);
    assert_eq!(page(Some("zoo"), None).await, ["a.example"]);
    assert_eq!(
        page(Some("acme"), Some("a.example")).await,
        ["c.example", "d.example"]
    );
    assert!(page(Some("never"), None).await.is_empty());
}
