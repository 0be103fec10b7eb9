//! A stream of events with the names in them replaced.

use bytes::Bytes;

use super::messages;
use super::names::Names;

#[derive(Debug)]
pub(super) struct Events {
    names: Names,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The lines of the message of the event that has not ended.
    data: Vec<String>,
}

impl Events {
    pub(super) fn of(names: Names) -> Self {
        Self {
            names,
            line: Vec::new(),
            data: Vec::new(),
        }
    }

    /// What a piece of the stream becomes; an event's message is kept back until it is whole.
    pub(super) fn map(&mut self, piece: &[u8]) -> Bytes {
        let mut mapped = String::new();
        for byte in piece {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.map_line(
                    String::from_utf8_lossy(&line).trim_end_matches('\r'),
                    &mut mapped,
                );
            } else {
                self.line.push(*byte);
            }
        }
        mapped.into()
    }

    fn map_line(&mut self, line: &str, mapped: &mut String) {
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.trim_start().to_owned());
            return;
        }
        if line.is_empty() && !self.data.is_empty() {
            let data = std::mem::take(&mut self.data).join("\n");
            mapped.push_str("data: ");
            mapped.push_str(&self.map_message(data));
            mapped.push('\n');
        }
        mapped.push_str(line);
        mapped.push('\n');
    }

    fn map_message(&self, data: String) -> String {
        let Ok(mut message) = serde_json::from_str(&data) else {
            return data;
        };
        messages::strip(&mut message, &self.names);
        message.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_mapped_however_they_are_cut() {
        let stream =
            ": hello\n\nid: 7\ndata:\n\nid: 8\ndata: {\"result\":{\"taskId\":\"maps__t\"}}\n\n";
        let expected =
            ": hello\n\nid: 7\ndata: \n\nid: 8\ndata: {\"result\":{\"taskId\":\"t\"}}\n\n";
        for size in [1, 5, stream.len()] {
            let mut events = Events::of(Names::of("maps", &[]));
            let mapped = stream
                .as_bytes()
                .chunks(size)
                .map(|piece| events.map(piece));
            assert_eq!(mapped.collect::<Vec<_>>().concat(), expected.as_bytes());
        }
    }
}
