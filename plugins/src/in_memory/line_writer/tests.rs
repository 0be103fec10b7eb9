//! Lines stay whole whatever the output does, and the thread ends.

use super::*;

/// Takes three bytes at a time, and fails where told.
struct Reluctant {
    taken: Vec<u8>,
    outcomes: Vec<Option<ErrorKind>>,
}

impl Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(Some(kind)) = self.outcomes.pop() {
            return Err(kind.into());
        }
        let count = bytes.len().min(3);
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn whole_lines(outcomes: &[Option<ErrorKind>]) -> WholeLines<Reluctant> {
    let outcomes = outcomes.iter().rev().copied().collect();
    let output = Reluctant {
        taken: Vec::new(),
        outcomes,
    };
    WholeLines {
        output,
        now: None,
        torn: false,
    }
}

#[test]
fn carries_on_after_an_interruption_or_a_full_pipe() {
    let waits = [
        None,
        Some(ErrorKind::Interrupted),
        None,
        Some(ErrorKind::WouldBlock),
    ];
    let mut lines = whole_lines(&waits);
    lines.write_lines(b"one two three\n").unwrap();
    assert_eq!(lines.output.taken, b"one two three\n");
}

#[test]
fn a_line_that_failed_in_the_middle_does_not_swallow_the_next() {
    let mut lines = whole_lines(&[None, Some(ErrorKind::StorageFull)]);
    assert!(lines.write_lines(b"broken off\n").is_err());
    lines.write_lines(b"whole\n").unwrap();
    assert_eq!(lines.output.taken, b"bro\nwhole\n");
}

#[test]
fn a_line_that_failed_at_its_beginning_leaves_no_empty_line() {
    let mut lines = whole_lines(&[Some(ErrorKind::StorageFull)]);
    assert!(lines.write_lines(b"lost\n").is_err());
    lines.write_lines(b"whole\n").unwrap();
    assert_eq!(lines.output.taken, b"whole\n");
}

#[test]
fn what_has_no_room_or_came_in_part_is_left_to_the_thread() {
    let mut lines = whole_lines(&[None, Some(ErrorKind::WouldBlock), None]);
    assert!(
        lines.write_at_once(b"1\n").is_none(),
        "it does not know how"
    );
    lines.now = Some(Reluctant::write);
    lines.write_at_once(b"2\n").unwrap().unwrap();
    assert!(lines.write_at_once(b"3\n").is_none(), "no room");
    assert!(lines.write_at_once(b"four\n").is_none(), "a part of it");
    assert!(lines.write_at_once(b"5\n").is_none(), "given up");
    lines.write_lines(b"four\n").unwrap();
    assert_eq!(lines.output.taken, b"2\nfou\nfour\n");
}

#[tokio::test]
async fn no_line_overtakes_one_that_waits() {
    let (reader, writer) = io::pipe().unwrap();
    let lines = LineWriter::start("test", writer).unwrap();
    for _ in 0..20 {
        // More than the pipe has room for: the thread is at it until somebody reads.
        let mut large = Box::pin(lines.write(vec![b'\n'; 200_000]));
        assert!(futures_util::poll!(large.as_mut()).is_pending());
        assert_ne!(lines.waiting.load(Ordering::SeqCst), 0);
        drop(large);
        let (small, taken) = tokio::join!(
            lines.write(b"small\n".to_vec()),
            tokio::task::spawn_blocking({
                let mut reader = reader.try_clone().unwrap();
                move || {
                    let mut taken = vec![0; 200_006];
                    io::Read::read_exact(&mut reader, &mut taken).unwrap();
                    taken
                }
            })
        );
        small.unwrap();
        assert!(taken.unwrap().ends_with(b"\nsmall\n"));
    }
    assert_eq!(lines.waiting.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_pipe_is_written_to_at_once_while_it_has_room_and_no_line_is_lost_or_mixed() {
    let (reader, writer) = io::pipe().unwrap();
    let lines = LineWriter::start("test", writer).unwrap();
    #[cfg(target_os = "linux")]
    lines.output.write_at_once(b"at once\n").unwrap().unwrap();
    let line = |number: usize| format!("{number} {}\n", "x".repeat(2_000));
    // More than the pipe has room for, so that most of them wait for the reader.
    let writes: Vec<_> = (0..200)
        .map(|number| {
            let lines = lines.clone();
            tokio::spawn(async move { lines.write(line(number).into_bytes()).await.unwrap() })
        })
        .collect();
    let reading = tokio::task::spawn_blocking(|| io::read_to_string(reader).unwrap());
    for write in writes {
        write.await.unwrap();
    }
    drop(lines);
    let text = reading.await.unwrap();
    let mut found: Vec<_> = text.lines().filter(|line| *line != "at once").collect();
    found.sort_unstable();
    let due: Vec<_> = (0..200).map(line).collect();
    let mut due: Vec<_> = due.iter().map(|line| line.trim_end()).collect();
    due.sort_unstable();
    assert_eq!(found, due);
}

#[tokio::test]
async fn the_thread_ends_with_the_last_handle() {
    let (reader, writer) = io::pipe().unwrap();
    let lines = LineWriter::start("test", writer).unwrap();
    lines.write(b"last words\n".to_vec()).await.unwrap();
    drop(lines);
    // The thread owns the other end of the pipe: it closes when the thread ends.
    let read = tokio::task::spawn_blocking(|| io::read_to_string(reader));
    assert_eq!(read.await.unwrap().unwrap(), "last words\n");
}
