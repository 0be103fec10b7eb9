//! An MCP server of our own for the tests: both eras, both transports, and every misbehaviour that a test wants.

mod admission;
mod asking;
mod bearers;
mod http;
mod message;
mod params;
mod serve;
mod sse;
mod stdio;
mod tools;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio::sync::{Mutex, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use bearers::Bearers;

pub use bearers::{Seen, TOKEN_VARIABLE};
pub use http::HttpFixture;
pub use stdio::serve_stdio;

/// The legacy version that the fixture negotiates unless it is told another one.
pub const LEGACY_VERSION: &str = "2025-11-25";
/// The modern version that the fixture serves.
pub const MODERN_VERSION: &str = "2026-07-28";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Eras {
    Legacy,
    Modern,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnswerForm {
    Json,
    Sse,
}

/// The request that is never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hang {
    /// `initialize` and `server/discover`.
    Initialize,
    List,
    Call,
    /// `logging/setLevel`.
    Level,
}

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// What the server says it is called.
    #[arg(long, default_value = "fixture")]
    pub name: String,
    #[arg(long, value_enum, default_value_t = Eras::Both)]
    pub era: Eras,
    /// The version that legacy clients are given, whatever they ask for.
    #[arg(long, default_value = LEGACY_VERSION)]
    pub legacy_version: String,
    /// Whether legacy clients get everything that answers a request as one array.
    #[arg(long)]
    pub batches: bool,
    /// How many numbered tools are listed after the named ones.
    #[arg(long, default_value_t = 0)]
    pub tools: usize,
    /// Whether a tool is listed that is named after the token by which the caller was let in.
    #[arg(long)]
    pub names_tokens: bool,
    /// Whether tools are listed whose arguments go into headers.
    #[arg(long)]
    pub annotated: bool,
    /// Whether tools are listed that want more than to be called.
    #[arg(long)]
    pub asking: bool,
    /// Whether a legacy client is asked for its roots as soon as it is there; on stdio only.
    #[arg(long)]
    pub asks_first: bool,
    #[arg(long, default_value_t = 50)]
    pub page_size: usize,
    /// The second page's cursor is the empty string, which is a valid cursor.
    #[arg(long)]
    pub empty_cursor: bool,
    /// For how many milliseconds a list may be kept, as modern clients are told.
    #[arg(long, default_value_t = 1000)]
    pub ttl: u64,
    /// Whether modern clients are told that a list is theirs alone.
    #[arg(long)]
    pub private: bool,
    /// Over HTTP only.
    #[arg(long, value_enum, default_value_t = AnswerForm::Json)]
    pub answer: AnswerForm,
    /// Whether legacy clients over HTTP get a session id, which they must then send.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub sessions: bool,
    /// Over HTTP, whoever sends none of these as a bearer token is not served. The list of tools tells whose it is.
    #[arg(long = "bearer")]
    pub bearers: Vec<String>,
    /// Whether every call's own stream, and nothing else, says that the list of tools has changed.
    #[arg(long)]
    pub changes_in_calls: bool,
    #[arg(long, value_enum)]
    pub hang: Option<Hang>,
    /// Answers this many calls, and exits at the next one without answering it.
    #[arg(long)]
    pub exit_after_calls: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "fixture".to_owned(),
            era: Eras::Both,
            legacy_version: LEGACY_VERSION.to_owned(),
            batches: false,
            names_tokens: false,
            tools: 0,
            annotated: false,
            asking: false,
            asks_first: false,
            page_size: 50,
            empty_cursor: false,
            ttl: 1000,
            private: false,
            answer: AnswerForm::Json,
            sessions: false,
            bearers: Vec::new(),
            changes_in_calls: false,
            hang: None,
            exit_after_calls: None,
        }
    }
}

/// One server's state, shared by its connections.
#[derive(Debug)]
pub struct Fixture {
    options: Options,
    bearers: Bearers,
    /// Those of the HTTP+SSE transport, by their ids.
    streams: Mutex<HashMap<String, mpsc::Sender<String>>>,
    hang: watch::Sender<Option<Hang>>,
    gate: watch::Sender<bool>,
    /// The name of the header that the regional tool wants.
    region_header: watch::Sender<&'static str>,
    /// What clients have answered to questions.
    answers: watch::Sender<Vec<Value>>,
    /// The raw ids of requests that a client takes back.
    cancellations: broadcast::Sender<String>,
    counters: Counters,
    exit: CancellationToken,
}

#[derive(Debug, Default)]
struct Counters {
    initializations: AtomicU64,
    lists: AtomicU64,
    calls: AtomicU64,
    waiting: AtomicU64,
    cancelled: AtomicU64,
}

impl Fixture {
    pub fn new(options: Options) -> Self {
        Self {
            hang: watch::Sender::new(options.hang),
            bearers: Bearers::new(&options.bearers),
            options,
            streams: Mutex::default(),
            gate: watch::Sender::new(false),
            region_header: watch::Sender::new("Region"),
            answers: watch::Sender::default(),
            cancellations: broadcast::Sender::new(64),
            counters: Counters::default(),
            exit: CancellationToken::new(),
        }
    }

    /// Forgets every legacy session, as a server does that was restarted.
    pub async fn forget_sessions(&self) {
        self.bearers.forget_sessions().await;
    }

    /// How many legacy sessions are open.
    pub async fn sessions(&self) -> usize {
        self.bearers.sessions().await.len()
    }

    /// The ids of the open legacy sessions.
    pub async fn session_ids(&self) -> Vec<String> {
        self.bearers.sessions().await
    }

    /// What came over HTTP so far.
    pub async fn seen(&self) -> Vec<Seen> {
        self.bearers.seen().await
    }

    /// From now on, this token is not accepted.
    pub async fn revoke(&self, bearer: &str) {
        self.bearers.revoke(bearer).await;
    }

    /// From now on, what hung before is answered, and this is not.
    pub fn hang(&self, hang: Option<Hang>) {
        self.hang.send_replace(hang);
    }

    /// Lets every call of the tool `wait` return, now and later.
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Changes the header that the regional tool wants, without telling anybody.
    pub fn rename_region_header(&self, name: &'static str) {
        self.region_header.send_replace(name);
    }

    /// How many sessions or stateless clients were greeted: `initialize` and `server/discover`.
    pub fn initializations(&self) -> u64 {
        self.counters.initializations.load(Ordering::SeqCst)
    }

    pub fn lists(&self) -> u64 {
        self.counters.lists.load(Ordering::SeqCst)
    }

    /// How many calls were begun.
    pub fn calls(&self) -> u64 {
        self.counters.calls.load(Ordering::SeqCst)
    }

    /// How many calls of the tool `wait` are in flight.
    pub fn waiting(&self) -> u64 {
        self.counters.waiting.load(Ordering::SeqCst)
    }

    /// How many calls ended because the client went away or said so.
    pub fn cancelled(&self) -> u64 {
        self.counters.cancelled.load(Ordering::SeqCst)
    }

    /// Completes when the server has reached the call at which it exits.
    pub async fn exited(&self) {
        self.exit.cancelled().await;
    }

    async fn hold(&self, request: Hang) {
        let mut hang = self.hang.subscribe();
        // The sender lives in `self`, so this ends only with the value that it waits for.
        drop(hang.wait_for(|hang| *hang != Some(request)).await);
    }
}
