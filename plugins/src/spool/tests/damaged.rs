//! Whatever the end of the machine leaves of the newest segment and of the cursor.

use proptest::prelude::*;

use super::*;

/// Logs so many events to a sink that takes the first `taken` only; gives the folder.
async fn spooled(folder: &Path, count: u32, taken: u32) {
    let (spools, memory) = (spools(folder, 16 * 1024), Arc::new(Memory::default()));
    let sink = sink_in(&spools, "audit", &memory, PROCESS);
    log(&sink, 0..taken).await;
    memory.has(taken as usize).await;
    let mut acknowledged = sink.spool.acknowledged.subscribe();
    let all = acknowledged.wait_for(|acknowledged| *acknowledged == u64::from(taken));
    drop(all.await.unwrap());
    memory.set_down(true);
    log(&sink, taken..count).await;
    spools.shut_down(Duration::ZERO).await;
    abandon(spools, vec![sink]);
}

/// What a sink gets afterwards.
async fn delivered(folder: &Path) -> (Vec<u32>, String) {
    let (spools, memory) = (spools(folder, PLENTY), Arc::new(Memory::default()));
    let sink = sink_in(&spools, "audit", &memory, PROCESS);
    // Behind what was there; it has to arrive too.
    log(&sink, 9999..10000).await;
    spools.shut_down(Duration::from_secs(5)).await;
    assert_eq!(sink.spool.waiting(), 0);
    let refused = folder.join("default/audit/refused.jsonl");
    let refused = fs::read(refused).unwrap_or_default();
    let numbers = memory
        .ids()
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    (numbers, String::from_utf8_lossy(&refused).into_owned())
}

/// The last segment, and the ids in it.
fn newest(folder: &Path) -> (std::path::PathBuf, Vec<u32>) {
    let folder = folder.join("default/audit");
    let last = *segment::list(&folder).unwrap().last().unwrap();
    let path = segment::path(&folder, last.first);
    let text = fs::read_to_string(&path).unwrap();
    let ids = text
        .lines()
        .map(|line| id(&serde_json::from_str(line).unwrap()).parse().unwrap());
    let ids = ids.collect();
    (path, ids)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_that_is_still_there(
        count in 8_u32..60, taken in 0_u32..8, place in 0.0..1.0, cut: bool, byte: u8, cursor in 0..4
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            spooled(folder.path(), count, taken).await;
            let (path, in_newest) = newest(folder.path());
            let mut bytes = fs::read(&path).unwrap();
            let place = (place * bytes.len() as f64) as usize;
            // The lines that are as they were.
            let mut whole = Vec::new();
            let mut begin = 0;
            for (line, id) in bytes.split_inclusive(|byte| *byte == b'\n').zip(&in_newest) {
                let end = begin + line.len();
                let touched = if cut { place < end } else { (begin.saturating_sub(1)..=end).contains(&place) };
                if !touched {
                    whole.push(*id);
                }
                begin = end;
            }
            match cut {
                true => bytes.truncate(place),
                false => bytes[place] = byte,
            }
            // A line that is changed and still an event cannot be told from one that was written so.
            let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
            let before = lines(&fs::read(&path).unwrap());
            let is_event = |line: &Vec<u8>| serde_json::from_slice::<AuditEvent>(line).is_ok();
            if lines(&bytes).iter().any(|line| is_event(line) && !before.contains(line)) {
                return;
            }
            fs::write(&path, &bytes).unwrap();
            let saved = folder.path().join("default/audit/cursor");
            match cursor {
                0 => {}
                1 => drop(fs::remove_file(&saved)),
                2 => fs::write(&saved, b"").unwrap(),
                _ => {
                    let mut text = fs::read(&saved).unwrap_or_else(|_| b"0 0 0 ".to_vec());
                    let place = place % text.len();
                    text[place] ^= 1 << (byte % 8);
                    fs::write(&saved, text).unwrap();
                }
            }
            let (got, refused) = delivered(folder.path()).await;
            let earlier = (taken..count).filter(|id| !in_newest.contains(id));
            let due: Vec<u32> = earlier.chain(whole.into_iter().filter(|id| *id >= taken)).chain([9999]).collect();
            for id in &due {
                let is_set_aside = refused.contains(&format!(r#""event_id":"{id}""#));
                assert!(got.contains(id) || is_set_aside, "{id} is lost: {got:?}");
            }
            // In order, but for what is sent again.
            let order: Vec<u32> = got.iter().copied().filter(|id| due.contains(id)).collect();
            assert!(order.is_sorted(), "{order:?}");
        });
    }
}
