//! The file on a real file system.

use super::*;

async fn next(watch: &mut Watch) -> bool {
    tokio::time::timeout(Duration::from_secs(5), watch.changed())
        .await
        .is_ok()
}

#[tokio::test]
async fn an_edit_in_place_and_a_replacement_are_both_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, "tenant: a\n").unwrap();
    let mut watch = ConfigFile::new(path.clone()).watch().unwrap();
    std::fs::write(&path, "tenant: b\n").unwrap();
    assert!(next(&mut watch).await, "written in place");
    let other = folder.path().join(".gateway.yaml.swp");
    std::fs::write(&other, "tenant: c\n").unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert!(next(&mut watch).await, "replaced");
}

#[tokio::test]
async fn what_leaves_the_content_alone_is_no_edit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, "tenant: a\n").unwrap();
    let mut watch = ConfigFile::new(path.clone()).watch().unwrap();
    std::fs::write(&path, "tenant: a\n").unwrap();
    std::fs::write(folder.path().join("other"), "x").unwrap();
    let wait = tokio::time::timeout(Duration::from_secs(2), watch.changed());
    assert!(wait.await.is_err());
}

#[test]
fn a_missing_file_says_what_to_do() {
    let file = ConfigFile::new(PathBuf::from("/nowhere/gateway.yaml"));
    let problems = file.read().unwrap_err();
    assert!(
        problems[0].to_string().contains("--config"),
        "{}",
        problems[0]
    );
}

#[tokio::test]
async fn reading_a_file_is_no_reason_to_read_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, "tenant: a\n").unwrap();
    let mut watch = ConfigFile::new(path.clone()).watch().unwrap();
    std::fs::read(&path).unwrap();
    std::fs::write(folder.path().join("other"), "x").unwrap();
    let told = tokio::time::timeout(Duration::from_millis(300), watch.changes.recv()).await;
    assert!(told.is_err(), "told of {told:?}");
}
