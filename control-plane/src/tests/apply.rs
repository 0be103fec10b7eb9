//! What is accepted, kept and told.

use super::*;
use crate::Rollback;

#[tokio::test]
async fn a_revision_says_who_made_it_why_and_what_it_changed() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    plane.apply("acme", "two").await;
    let records = plane
        .control_plane
        .revisions(&tenant("acme"), None, 10)
        .await;
    let records = records.unwrap();
    let summaries: Vec<_> = records.iter().map(|record| &*record.summary).collect();
    assert_eq!(summaries, ["changed server files", "added server files"]);
    assert_eq!((&*records[0].author, &*records[0].reason), ("ada", "test"));
    assert_eq!(records[0].submitted, "# two");
    plane.stop().await;
}

#[tokio::test]
async fn what_is_current_already_makes_no_revision() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    let revision = plane.apply("acme", "one").await;
    replica.take().await;
    let again = plane
        .control_plane
        .apply(change("acme", "one"))
        .await
        .unwrap();
    assert_eq!((again.revision, again.changed), (revision, false));
    let verdict = plane.verdict("acme", revision, soon()).await;
    assert_eq!(verdict, Ok(Verdict::InForce));
    let back = plane
        .control_plane
        .apply(change("acme", "two"))
        .await
        .unwrap();
    assert_eq!((back.revision, back.changed), (Revision(2), true));
    plane.stop().await;
}

#[tokio::test]
async fn everything_that_is_wrong_is_reported_at_once_and_nothing_is_kept() {
    let plane = Plane::start().await;
    let mut bad = change("acme", "one");
    let catalog = "plugins: { audit_sink: { provider: in-memory, implementation: unknown } }\n\
                   servers: { github: 'catalog://h/r:v1/n' }\n";
    bad.config = load_yaml(catalog).unwrap();
    let profile = gateway_core::config::ProfileConfig {
        servers: vec!["missing".parse().unwrap()],
        ..Default::default()
    };
    bad.config.profiles.insert("dev".parse().unwrap(), profile);
    let error = plane.control_plane.apply(bad).await.unwrap_err();
    let ApplyError::Invalid(violations) = &error else {
        panic!("{error:?}");
    };
    let paths: Vec<_> = violations.iter().map(|found| &*found.path).collect();
    let expected = [
        "profiles.dev.servers[0]",
        "plugins.audit_sink.implementation",
        "servers.github.ref",
    ];
    assert_eq!(paths, expected);
    assert!(error.to_string().contains("there is no server `missing`"));
    assert_eq!(
        plane
            .control_plane
            .revisions(&tenant("default"), None, 1)
            .await
            .unwrap(),
        []
    );
    plane.stop().await;
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_told_that_the_other_came_first() {
    let plane = Plane::start().await;
    let (one, two) = tokio::join!(
        plane.control_plane.apply(change("acme", "one")),
        plane.control_plane.apply(change("acme", "two")),
    );
    // They may also have come one after the other.
    for outcome in [&one, &two] {
        assert!(
            matches!(outcome, Ok(_) | Err(ApplyError::Conflict { .. })),
            "{outcome:?}"
        );
    }
    let records = plane
        .control_plane
        .revisions(&tenant("acme"), None, 10)
        .await
        .unwrap();
    assert_eq!(
        records.len(),
        usize::from(one.is_ok()) + usize::from(two.is_ok())
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_change_whose_caller_went_away_is_pushed_all_the_same() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    let abandoned = plane.control_plane.apply(change("acme", "one"));
    // Long enough to begin, too short to end.
    drop(tokio::time::timeout(Duration::ZERO, abandoned).await);
    assert_eq!(replica.next().await.documents.len(), 1);
    plane.stop().await;
}

#[tokio::test]
async fn a_removed_tenant_is_none_of_the_tenants_any_more() {
    let plane = Plane::start().await;
    plane.apply("zoo", "one").await;
    plane.apply("acme", "one").await;
    assert_eq!(
        plane.control_plane.tenants(),
        [tenant("acme"), tenant("zoo")]
    );
    plane.control_plane.remove(removal("zoo")).await.unwrap();
    assert_eq!(plane.control_plane.tenants(), [tenant("acme")]);
    plane.stop().await;
}

#[tokio::test]
async fn a_change_that_is_only_checked_leaves_everything_as_it_is() {
    let plane = Plane::start().await;
    let checked = |command| Change {
        validate_only: true,
        ..change("acme", command)
    };
    let first = plane.control_plane.apply(checked("one")).await.unwrap();
    assert_eq!((first.revision, first.changed), (Revision(0), true));
    plane.apply("acme", "one").await;
    let second = plane.control_plane.apply(checked("two")).await.unwrap();
    assert_eq!((second.revision, second.changed), (Revision(1), true));
    assert_eq!(second.differences.len(), 1);
    assert_eq!(second.differences[0].path, "servers.files.command");
    let acme = tenant("acme");
    let records = plane.control_plane.revisions(&acme, None, 9).await;
    assert_eq!(records.unwrap().len(), 1);
    plane.stop().await;
}

#[tokio::test]
async fn a_rollback_is_a_new_revision_with_the_old_document() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    plane.apply("acme", "two").await;
    plane.control_plane.remove(removal("acme")).await.unwrap();
    let back = |to| Rollback {
        tenant: tenant("acme"),
        to: Revision(to),
        author: "ada".to_owned(),
        reason: "worse".to_owned(),
        expected: None,
        validate_only: false,
        must_exist: false,
        canary: None,
    };
    let applied = plane.control_plane.roll_back(back(1)).await.unwrap();
    assert_eq!((applied.revision, applied.changed), (Revision(3), true));
    let acme = tenant("acme");
    let records = plane.control_plane.revisions(&acme, None, 9).await;
    let records = records.unwrap();
    assert_eq!(records[0].submitted, "# one");
    assert_eq!(
        records[0].summary,
        "rolled back to revision 1: added server files"
    );
    let again = plane.control_plane.roll_back(back(1)).await.unwrap();
    assert_eq!((again.revision, again.changed), (Revision(3), false));
    let missing = plane.control_plane.roll_back(back(9)).await.unwrap_err();
    assert!(
        matches!(missing, ApplyError::NotFound { .. }),
        "{missing:?}"
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_change_for_another_revision_than_the_current_one_is_a_conflict() {
    let plane = Plane::start().await;
    plane.apply("acme", "one").await;
    plane.apply("acme", "two").await;
    let stale = Change {
        expected: Some(Revision(1)),
        ..change("acme", "three")
    };
    let error = plane.control_plane.apply(stale).await.unwrap_err();
    let current = Some(Revision(2));
    assert!(matches!(error, ApplyError::Conflict { current: found, .. } if found == current));
    let stale = Removal {
        expected: Some(Revision(1)),
        ..removal("acme")
    };
    let error = plane.control_plane.remove(stale).await.unwrap_err();
    assert!(matches!(error, ApplyError::Conflict { .. }), "{error:?}");
    plane.stop().await;
}
