//! The suite of `AuditSink`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use gateway_core::TenantId;
use gateway_core::plugin::{AuditEvent, AuditOutcome, AuditSink, PluginKind};
use jiff::Timestamp;
use serde_json::Value;

use super::probe::{self, CROWD, context, late_context, unique};
use super::report::{Outcome, Report, Unmet, ensure, failed};

/// Reads what has arrived at a sink: one JSON object a line.
#[derive(Clone)]
pub struct ReadBack(Arc<dyn Fn() -> String + Send + Sync>);

impl ReadBack {
    /// Reads with this function.
    pub fn new(read: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for ReadBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBack").finish_non_exhaustive()
    }
}

/// Runs the suite. Without `read_back` it cannot say what has arrived, only what was taken.
pub async fn audit_sink(sink: Arc<dyn AuditSink>, read_back: Option<ReadBack>) -> Report {
    let mut report = Report::new(PluginKind::AuditSink);
    let subject = || Subject {
        sink: Arc::clone(&sink),
        read_back: read_back.clone(),
    };
    report.case("takes_one_event", subject().takes_one()).await;
    report
        .case("takes_several_events_in_order", subject().takes_several())
        .await;
    report.case("takes_no_events", subject().takes_none()).await;
    report
        .case("takes_events_of_any_text_and_size", subject().takes_any())
        .await;
    report
        .case(
            "keeps_events_whole_that_come_at_once",
            subject().keeps_whole(),
        )
        .await;
    report
        .case("is_usable_after_dropped_calls", subject().survives_drops())
        .await;
    report
        .case(
            "returns_when_the_deadline_has_passed",
            subject().returns_late(),
        )
        .await;
    report
        .case("stores_events_whole_and_once", subject().can_be_read())
        .await;
    report
}

/// An event that only its id tells from others.
pub(crate) fn audit_event(id: &str) -> AuditEvent {
    AuditEvent {
        timestamp: Timestamp::UNIX_EPOCH,
        event_type: "tool_call".into(),
        tenant_id: Some(TenantId::default()),
        user_id: "suite".parse().ok(),
        mcp_server: "suite".parse().ok(),
        tool: Some("probe".to_owned()),
        result: AuditOutcome::Ok,
        metadata: BTreeMap::from([("event_id".into(), Value::from(id))]),
    }
}

/// Events in the form in which they must arrive, and as they have arrived.
struct Arrival {
    due: Vec<Value>,
    found: Vec<Value>,
}

#[derive(Clone)]
struct Subject {
    sink: Arc<dyn AuditSink>,
    read_back: Option<ReadBack>,
}

impl Subject {
    /// Holds the sink to having taken these events, whole, once and in this order.
    fn has(&self, events: &[AuditEvent]) -> Outcome {
        let Some(Arrival { due, found }) = self.arrival_of(events)? else {
            return Ok(());
        };
        ensure(found == due, || {
            "events have arrived changed or in another order".to_owned()
        })
    }

    /// Holds the sink to having taken these events, whole and once.
    fn has_in_any_order(&self, events: &[AuditEvent]) -> Outcome {
        let Some(Arrival { mut due, mut found }) = self.arrival_of(events)? else {
            return Ok(());
        };
        due.sort_by_key(|event| event_id(event).map(Value::to_string));
        found.sort_by_key(|event| event_id(event).map(Value::to_string));
        ensure(found == due, || "events have arrived changed".to_owned())
    }

    /// What has arrived of these events, when it is as many. `None`: it cannot be read back.
    fn arrival_of(&self, events: &[AuditEvent]) -> Result<Option<Arrival>, Unmet> {
        let Some(ReadBack(read)) = &self.read_back else {
            return Ok(None);
        };
        let mut due = Vec::new();
        for event in events {
            match serde_json::to_value(event) {
                Ok(event) => due.push(event),
                Err(error) => return failed(format!("the suite's event has no JSON: {error}")),
            }
        }
        let ids: HashSet<_> = due.iter().map(event_id).collect();
        let text = read();
        // What follows the last line break is still being written, by an earlier dropped call.
        let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
        let mut found = Vec::new();
        for line in lines.lines() {
            match serde_json::from_str::<Value>(line) {
                Ok(event) if ids.contains(&event_id(&event)) => found.push(event),
                Ok(_) => {}
                Err(error) => return failed(format!("a line is not one JSON object: {error}")),
            }
        }
        ensure(found.len() == due.len(), || {
            format!("{} of {} events have arrived", found.len(), due.len())
        })?;
        Ok(Some(Arrival { due, found }))
    }

    async fn takes_one(self) -> Outcome {
        let event = audit_event(&unique("one"));
        self.sink.log_event(&context(), &event).await?;
        self.has(&[event])
    }

    async fn takes_several(self) -> Outcome {
        let events: Vec<_> = (0..CROWD)
            .map(|_| audit_event(&unique("several")))
            .collect();
        self.sink.log_events(&context(), &events).await?;
        self.has(&events)
    }

    async fn takes_none(self) -> Outcome {
        Ok(self.sink.log_events(&context(), &[]).await?)
    }

    async fn takes_any(self) -> Outcome {
        let texts = [
            "",
            "\n",
            "\r\n{}\n",
            "\"\\",
            "\0",
            "\u{2028}\u{202e}ß",
            &"x".repeat(1 << 18),
        ];
        for text in texts {
            let mut event = audit_event(&unique("any"));
            event.tool = Some(text.to_owned());
            event.metadata.insert("reason".into(), Value::from(text));
            self.sink.log_event(&context(), &event).await?;
            self.has(&[event])?;
        }
        let bare = AuditEvent {
            tenant_id: None,
            user_id: None,
            mcp_server: None,
            tool: None,
            result: AuditOutcome::Denied,
            ..audit_event(&unique("bare"))
        };
        self.sink.log_event(&context(), &bare).await?;
        self.has(&[bare])
    }

    async fn keeps_whole(self) -> Outcome {
        let mut events: Vec<_> = (0..CROWD).map(|_| audit_event(&unique("crowd"))).collect();
        for event in &mut events {
            // Longer than what a pipe takes in one piece.
            let padding = Value::from("x".repeat(10_000));
            event.metadata.insert("padding".into(), padding);
        }
        probe::all_at_once(events.iter().cloned().map(|event| {
            let sink = Arc::clone(&self.sink);
            async move { Ok(sink.log_event(&context(), &event).await?) }
        }))
        .await?;
        self.has_in_any_order(&events)
    }

    async fn survives_drops(self) -> Outcome {
        let context = context();
        let dropped = audit_event(&unique("dropped"));
        probe::drop_halfway(|| self.sink.log_event(&context, &dropped)).await;
        self.takes_one().await
    }

    async fn returns_late(self) -> Outcome {
        let context = late_context();
        let event = audit_event(&unique("late"));
        probe::returns_late(self.sink.log_event(&context, &event)).await
    }

    /// Says that the cases before could not judge what arrived, where that is so.
    async fn can_be_read(self) -> Outcome {
        match &self.read_back {
            None => Err(Unmet::NotApplicable("what arrives cannot be read back")),
            Some(_) => self.takes_one().await,
        }
    }
}

fn event_id(event: &Value) -> Option<&Value> {
    event.get("metadata")?.get("event_id")
}
