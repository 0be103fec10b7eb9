//! What a run of the benchmark found.

use serde::Serialize;

use super::memory::Memory;
use super::row::Row;
use crate::session::Era;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) rounds: usize,
    /// In each round, for each target of each cell.
    pub(super) calls: u64,
    /// Whether single results came as streams of one event.
    pub(super) streams: bool,
    pub(super) cells: Vec<Cell>,
    pub(super) footprint: Footprint,
}

#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) row: Row,
    pub(super) era: Era,
    pub(super) connections: usize,
    /// What the gateway adds to the middle latency of the direct way.
    pub(super) added_p50_us: Option<f64>,
    pub(super) figures: Vec<Figures>,
}

#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) target: String,
    pub(super) checked_replies: usize,
    /// `None` for the direct way, which costs nobody in between.
    pub(super) cpu_ms_per_1000_calls: Option<f64>,
    pub(super) cpu_ratio_to_nginx: Option<f64>,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Footprint {
    pub(super) idle: Memory,
    /// How many were held.
    pub(super) connections: usize,
    pub(super) held: Memory,
    /// How many were opened.
    pub(super) sessions: usize,
    pub(super) bytes_per_session: f64,
    pub(super) start_ms: f64,
}

impl Cell {
    pub(super) fn of(&self, target: &str) -> Option<&Figures> {
        self.figures.iter().find(|figures| figures.target == target)
    }
}
