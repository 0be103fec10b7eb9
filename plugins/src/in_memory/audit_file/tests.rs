//! When a file is set aside, and what a full disk does.

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::in_memory::Outputs;

pub(super) fn limits(settings: Value) -> Limits {
    let settings = serde_json::from_value(settings).unwrap();
    Limits::read(&settings, None).unwrap().1
}

fn open(path: &Path, settings: Value) -> RotatingFile {
    let limits = Arc::new(ArcSwap::from_pointee(limits(settings)));
    RotatingFile::open(path, limits, Arc::default()).unwrap()
}

fn write(file: &mut RotatingFile, line: &str) {
    file.write_lines(format!("{line}\n").as_bytes()).unwrap();
    file.commit().unwrap();
}

#[test]
fn a_full_file_is_set_aside_and_the_oldest_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    // Neither is one of the files that are set aside.
    fs::write(folder.path().join("audit.jsonl.old"), "mine").unwrap();
    let mut file = open(&path, json!({ "max_bytes": 4096, "keep": 2 }));
    for letter in "abcdef".chars() {
        write(&mut file, &letter.to_string().repeat(3000));
    }
    let everything = everything(&path);
    let kept: Vec<_> = everything
        .lines()
        .filter_map(|line| line.chars().next())
        .collect();
    assert_eq!(kept, ['d', 'e', 'f']);
    assert!(folder.path().join("audit.jsonl.old").exists());
    // What was allocated behind the end is given back.
    let aside = rotate::aside(&path).unwrap();
    #[cfg(unix)]
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&aside[0]).unwrap()) < 64);
    assert_eq!(fs::metadata(&path).unwrap().len(), 3001);
}

#[test]
fn an_old_file_is_set_aside_by_the_time_of_its_first_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "{\"timestamp\":\"2020-01-01T00:00:00Z\"}\n").unwrap();
    let mut file = open(&path, json!({ "max_age": "24h" }));
    write(&mut file, "new");
    write(&mut file, "newer");
    assert_eq!(fs::read_to_string(&path).unwrap(), "new\nnewer\n");
    assert_eq!(rotate::aside(&path).unwrap().len(), 1);
}

#[test]
fn a_line_that_was_cut_off_is_removed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (found, left) in [
        ("one\ntwo\nthr".to_owned(), "one\ntwo\n".to_owned()),
        (format!("one\n{}", "x".repeat(20_000)), "one\n".to_owned()),
        ("x".repeat(20_000), String::new()),
        (
            format!("{}\n", "x".repeat(8191)),
            format!("{}\n", "x".repeat(8191)),
        ),
        (String::new(), String::new()),
    ] {
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, &found).unwrap();
        let mut file = open(&path, json!({}));
        assert_eq!(fs::read_to_string(&path).unwrap(), left);
        write(&mut file, "next");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{left}next\n"));
    }
}

#[test]
fn a_file_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let first = open(&path, json!({}));
    let limits = Arc::new(ArcSwap::from_pointee(limits(json!({}))));
    let error = RotatingFile::open(&path, limits, Arc::default())
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("another process writes to"),
        "{error}"
    );
    drop(first);
    open(&path, json!({}));
}

#[tokio::test]
async fn an_edit_of_the_limits_reaches_the_writer_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let outputs = Outputs::default();
    let before = outputs.file(&path, limits(json!({}))).unwrap();
    let after = outputs
        .file(&path, limits(json!({ "max_bytes": 4096 })))
        .unwrap();
    before.write(vec![b'\n'; 4000]).await.unwrap();
    after.write(vec![b'\n'; 4000]).await.unwrap();
    assert_eq!(rotate::aside(&path).unwrap().len(), 1);
}

#[tokio::test]
async fn a_disk_that_is_filling_refuses_requests_and_not_their_events() {
    static FULL: AtomicBool = AtomicBool::new(false);
    fn allocate(_: &File, _: u64, _: u64) -> io::Result<()> {
        match FULL.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let low: Arc<AtomicBool> = Arc::default();
    let limits = Arc::new(ArcSwap::from_pointee(limits(json!({}))));
    let mut file = RotatingFile::open_with(&path, limits, Arc::clone(&low), allocate).unwrap();
    FULL.store(true, Ordering::SeqCst);
    write(&mut file, "small");
    assert!(!low.load(Ordering::SeqCst), "there is room for many more");
    write(&mut file, &"x".repeat(9 << 20));
    assert!(low.load(Ordering::SeqCst));
    assert_eq!(
        file.make_room().unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    write(&mut file, "of a request under way");
    FULL.store(false, Ordering::SeqCst);
    file.make_room().unwrap();
    assert!(!low.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_written_at_once_unless_that_could_take_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut file = open(&path, json!({ "max_bytes": 4096 }));
    file.write_at_once(b"at once\n").unwrap().unwrap();
    let due = "x".repeat(5000);
    assert!(
        file.write_at_once(due.as_bytes()).is_none(),
        "the file is to be set aside"
    );
    file.pace.note(Duration::from_secs(1));
    assert!(file.write_at_once(b"slow disk\n").is_none());
    file.pace = Pace::default();
    file.torn = true;
    assert!(file.write_at_once(b"to be mended\n").is_none());
    file.torn = false;
    file.allocated = 0;
    assert!(
        file.write_at_once(b"no room\n").is_none(),
        "room is to be made"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "at once\n");
}

#[test]
fn what_the_only_thread_would_write_is_left_to_the_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = open(&folder.path().join("audit.jsonl"), json!({}));
    assert!(file.write_at_once(b"outside of any\n").is_none());
    let alone = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let written = alone.block_on(async { file.write_at_once(b"alone\n").is_none() });
    assert!(written, "a disk that hangs would stop everything");
}

#[test]
fn wrong_settings_are_named() {
    let said = |settings: Value| {
        let settings = serde_json::from_value(settings).unwrap();
        let violations = Limits::read(&settings, None).unwrap_err().into_iter();
        let lines = violations.map(|v| format!("{}: {}", v.path, v.reason));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(said(json!({ "path": "/", "max_bytes": 1 })), @r"
    path: names no file
    max_bytes: is too small: one event may be as large; write 4096 or more
    ");
    insta::assert_snapshot!(said(json!({ "max_age": "soon" })), @"max_age: `soon` is not a length of time: write a positive number with a unit, such as 250ms, 5s, 1m or 24h");
    insta::assert_snapshot!(said(json!({ "max_size": 1 })), @"max_size: unknown field `max_size`, expected one of `path`, `max_bytes`, `max_age`, `keep`");
    insta::assert_snapshot!(said(json!({ "keep": -1 })), @"keep: invalid value: integer `-1`, expected usize");
}
