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
