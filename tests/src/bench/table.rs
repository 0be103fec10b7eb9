//! A report as text for a terminal of 100 columns, and as Markdown.

use std::fmt::Write as _;

use super::report::{Cell, Figures, Footprint, Report};
use crate::session::Era;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Everything: a block for each row of the table, a line for each target.
pub(super) fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    let mut last = None;
    for cell in &report.cells {
        if last != Some(cell.row) {
            last = Some(cell.row);
            lines.push(format!(
                "\n{} (aim: {} times the CPU of nginx)",
                cell.row.title(),
                cell.row.aim()
            ));
            lines.push(format!(
                "{:<7}{:>5}  {:<14}{:>12}{:>9}{:>10}{:>10}{:>10}{:>11}",
                "era",
                "conn",
                "target",
                "ms/1000",
                "ratio",
                "p50 µs",
                "p90 µs",
                "p99 µs",
                "p99.9 µs"
            ));
        }
        lines.extend(cell.figures.iter().map(|figures| line(cell, figures)));
    }
    lines.push(String::new());
    lines.extend(footprint(&report.footprint).map(|(what, figure)| format!("{what:<60}{figure}")));
    lines.push(format!(
        "\n{} rounds of {} calls; ms/1000 is the processor time of 1,000 calls; {}",
        report.rounds, report.calls, "every reply was checked"
    ));
    lines.join("\n").trim_start().to_owned() + "\n"
}

fn line(cell: &Cell, figures: &Figures) -> String {
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    // Whatever a peer is called, the columns stay where they are.
    let target: String = figures.target.chars().take(13).collect();
    format!(
        "{:<7}{:>5}  {:<14}{:>12}{:>9}{:>10.0}{:>10.0}{:>10.0}{:>11.0}",
        era(cell.era),
        cell.connections,
        target,
        number(figures.cpu_ms_per_1000_calls, 1),
        number(figures.cpu_ratio_to_nginx, 2),
        figures.p50_us,
        figures.p90_us,
        figures.p99_us,
        figures.p999_us
    )
}

fn era(era: Era) -> &'static str {
    match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    }
}

fn footprint(footprint: &Footprint) -> [(String, String); 4] {
    let Footprint {
        idle,
        connections,
        held,
        sessions,
        bytes_per_session,
        start_ms,
    } = footprint;
    let memory = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MEBIBYTE);
    [
        (
            "memory, idle".to_owned(),
            format!(
                "{} ({} proportional)",
                memory(idle.resident),
                memory(idle.proportional)
            ),
        ),
        (
            format!("memory, {connections} connections held"),
            memory(held.resident),
        ),
        (
            format!("memory of a legacy session, by {sessions}"),
            format!("{:.2} KiB", bytes_per_session / 1024.0),
        ),
        (
            "start of the process to the first answered call".to_owned(),
            format!("{start_ms:.0} ms"),
        ),
    ]
}

/// The short form: a line for each row and era, with the ratio at each number of connections, and the latencies at
/// the smallest.
pub(super) fn markdown(report: &Report) -> String {
    let mut counts: Vec<usize> = report.cells.iter().map(|cell| cell.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    let mut text = String::from("| CPU per call, as a multiple of nginx's, at connections |");
    for count in &counts {
        write!(text, " {count} |").ok();
    }
    text.push_str(" p50 | p90 | p99 | p99.9 | p50 direct |\n|---|");
    text.push_str(&"--:|".repeat(counts.len() + 5));
    text.push('\n');
    for first in report
        .cells
        .iter()
        .filter(|cell| Some(&cell.connections) == counts.first())
    {
        write!(text, "| {}, {} |", first.row.title(), era(first.era)).ok();
        for count in &counts {
            let cell = report.cells.iter().find(|cell| {
                (cell.row, cell.era, cell.connections) == (first.row, first.era, *count)
            });
            let figures = cell.and_then(|cell| cell.of("gateway"));
            match figures.and_then(|figures| figures.cpu_ratio_to_nginx) {
                Some(ratio) => write!(text, " {ratio:.2} |").ok(),
                None => write!(text, " - |").ok(),
            };
        }
        if let Some(ours) = first.of("gateway") {
            for micros in [ours.p50_us, ours.p90_us, ours.p99_us, ours.p999_us] {
                write!(text, " {micros:.0} µs |").ok();
            }
        }
        let direct = first.of("direct").map_or(f64::NAN, |direct| direct.p50_us);
        writeln!(text, " {direct:.0} µs |").ok();
    }
    let small = footprint(&report.footprint).map(|(what, figure)| format!("{what}: {figure}"));
    text + "\n" + &small.join("; ") + ".\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::memory::Memory;
    use crate::bench::row::Row;

    fn report() -> Report {
        let figures = |target: &str, cpu: Option<f64>, ratio| Figures {
            target: target.to_owned(),
            checked_replies: 10,
            cpu_ms_per_1000_calls: cpu,
            cpu_ratio_to_nginx: ratio,
            p50_us: 101.4,
            p90_us: 202.0,
            p99_us: 303.0,
            p999_us: 123_404.0,
        };
        let cell = |connections| Cell {
            row: Row::Call,
            era: Era::Legacy,
            connections,
            added_p50_us: Some(0.0),
            figures: vec![
                figures("direct", None, None),
                figures("gateway", Some(1234.56), Some(1.5)),
                figures("a-peer-with-a-long-name", Some(100.0), Some(12.25)),
            ],
        };
        let memory = Memory {
            resident: 20 << 20,
            proportional: 15 << 20,
        };
        Report {
            rounds: 1,
            calls: 10,
            streams: false,
            cells: vec![cell(1), cell(256)],
            footprint: Footprint {
                idle: memory,
                connections: 1000,
                held: memory,
                sessions: 20_000,
                bytes_per_session: 102.4,
                start_ms: 39.6,
            },
        }
    }

    #[test]
    fn fits_a_terminal_and_shows_every_target() {
        let text = text(&report());
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        assert_eq!(text.matches("gateway ").count(), 2, "{text}");
        assert!(text.contains("1234.6     1.50       101"), "{text}");
        assert!(
            text.contains("0.10 KiB") && text.contains("40 ms"),
            "{text}"
        );
    }

    #[test]
    fn the_short_form_has_a_line_for_each_row_and_era() {
        let text = markdown(&report());
        let mut lines = text.lines();
        let columns = lines.next().unwrap().matches('|').count();
        assert!(
            text.contains("| `tools/call`, one server, legacy | 1.50 | 1.50 | 101 µs |"),
            "{text}"
        );
        assert!(
            lines
                .take(2)
                .all(|line| line.matches('|').count() == columns),
            "{text}"
        );
    }
}
