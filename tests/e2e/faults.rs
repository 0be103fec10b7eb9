//! Control planes die, the database restarts, data planes are replaced and bad revisions are applied, and nobody notices: for a
//! minute, or as long as `MCP_GATEWAY_FAULTS_SECONDS` says.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use gateway_tests::faults::{
    Chronicle, Failure, Load, Meaning, Meanings, Random, Site, Tally, outages, replacements,
};
use gateway_tests::wait;
use serde_json::Value;
use tokio::time::Instant;

mod fault_editor;

use fault_editor::Editor;

const BINARY: &str = env!("CARGO_BIN_EXE_mcp-gateway");
const SECONDS: u64 = 60;

/// The tenants that are edited, and the one whose calls are made to fail.
const TENANTS: [&str; 3] = ["birch", "maple", "willow"];
const VICTIM: &str = "elm";

/// How many failures are told of.
const TOLD: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_cost_no_call_and_no_change() -> Result<()> {
    let length = Duration::from_secs(variable("MCP_GATEWAY_FAULTS_SECONDS")?.unwrap_or(SECONDS));
    let seed = match variable("MCP_GATEWAY_FAULTS_SEED")? {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    // Past the capture of what tests print: the figures are to be seen when all is well, and the seed when it is not.
    let mut told = std::io::stderr();
    writeln!(told, "faults: {length:?}, MCP_GATEWAY_FAULTS_SEED={seed}")?;
    let report = run(length, Random::new(seed)).await?;
    writeln!(told, "{report}")?;
    Ok(())
}

fn variable(name: &str) -> Result<Option<u64>> {
    let Ok(given) = std::env::var(name) else {
        return Ok(None);
    };
    let number = given.parse();
    Ok(Some(
        number.with_context(|| format!("reading {name} {given:?}"))?,
    ))
}

async fn run(length: Duration, mut random: Random) -> Result<String> {
    let site = Arc::new(Site::start(BINARY).await?);
    let names = TENANTS.iter().chain([&VICTIM]);
    let mut editors = Vec::new();
    for name in names {
        let mut editor = Editor::new(&site, name)?;
        editor.apply_sound(None).await?;
        editor.wait_until_in_force().await?;
        editors.push(editor);
    }
    let mut victim = editors.pop().context("there are four")?;
    let load = Load::start(&site, &TENANTS, VICTIM);

    let until = Instant::now() + length;
    let (control, data, bad) = (random.fork(), random.fork(), random.fork());
    let edits = editors
        .iter_mut()
        .map(|editor| editor.edit(random.fork(), until));
    let disturbed = tokio::try_join!(
        outages(&site, control, until),
        replacements(&site, data, until),
        victim.spoil(bad, until),
        try_join_all(edits),
    );
    disturbed.with_context(|| format!("after\n{}", site.chronicle.before(Instant::now())))?;

    editors.push(victim);
    for editor in &mut editors {
        editor.apply_sound(None).await?;
        editor.wait_until_in_force().await?;
    }
    let mut tally = load.stop().await?;
    check_ends(&site, &mut editors, &mut tally).await?;
    let events = site.stop().await?;
    let meanings = meanings(&editors);
    let provoked = check_failures(&site.chronicle, &tally, &editors)?;
    let recorded = events.check_failures(&meanings)?;
    ensure!(
        provoked == recorded,
        "{provoked} calls failed under bad revisions, and {recorded} are recorded"
    );
    events.check(&meanings, &tally.answered)?;
    Ok(report(
        &site.chronicle,
        &tally,
        &editors,
        events.revisions(),
    ))
}

/// Every accepted change is in the history, the last one is in force, and both control planes say so.
async fn check_ends(site: &Site, editors: &mut [Editor], tally: &mut Tally) -> Result<()> {
    for editor in editors.iter_mut() {
        let (tenant, revisions) = (editor.tenant.clone(), editor.revisions.clone());
        let expected: Vec<_> = revisions.iter().map(|(_, reason)| reason).collect();
        for control in 0..2 {
            let history = editor.history(control).await?;
            ensure!(
                history.iter().eq(expected.iter().copied()),
                "the history of {tenant} at control plane {control} is {history:?} instead of {expected:?}"
            );
        }
        let answered = &mut tally.answered;
        site.probe(&editor.tenant, editor.edition, answered).await?;
    }
    wait::until(
        "both control planes to say that all is in force",
        || async {
            let said = tokio::try_join!(site.status(0), site.status(1));
            said.is_ok_and(|(one, two)| one == two && is_settled(&one))
        },
    )
    .await
}

/// Whether every data plane has the last revision of every tenant.
fn is_settled(status: &Value) -> bool {
    let rows = status.as_array().into_iter().flatten();
    let states: Vec<_> = rows.map(|row| row["state"].as_str()).collect();
    states.len() == 2 * (TENANTS.len() + 1) && states.iter().all(|state| *state == Some("in force"))
}

fn meanings(editors: &[Editor]) -> Meanings {
    let of = |editor: &Editor| {
        let (tenant, revisions) = (editor.tenant.clone(), editor.revisions.clone());
        let numbered = (1..).zip(revisions);
        numbered.map(move |(number, (meaning, _))| ((tenant.clone(), number), meaning))
    };
    editors.iter().flat_map(of).collect()
}

/// Calls failed only while they were made to fail; how many.
fn check_failures(chronicle: &Chronicle, tally: &Tally, editors: &[Editor]) -> Result<u64> {
    let is_provoked = |failure: &&Failure| {
        let of = editors
            .iter()
            .find(|editor| editor.tenant == failure.tenant);
        let mut times = of.into_iter().flat_map(|editor| &editor.failing);
        times.any(|(from, to)| *from <= failure.began && failure.began <= *to)
    };
    let (provoked, failed): (Vec<_>, Vec<_>) = tally.failures.iter().partition(is_provoked);
    let told = failed.iter().take(TOLD).map(|failure| {
        let Failure {
            tenant,
            client,
            began,
            ended,
            error,
        } = failure;
        let (from, to) = (chronicle.at(*began), chronicle.at(*ended));
        let before = chronicle.before(*ended);
        format!("{client} of {tenant}, from {from:.3} to {to:.3}: {error}; before:\n{before}")
    });
    let told: Vec<_> = told.collect();
    ensure!(
        failed.is_empty(),
        "{} calls failed:\n{}",
        failed.len(),
        told.join("\n")
    );
    Ok(provoked.len() as u64)
}

fn report(chronicle: &Chronicle, tally: &Tally, editors: &[Editor], served: usize) -> String {
    let kinds = ["kill", "restart", "replace", "freeze", "failing"];
    let disturbances = kinds.map(|kind| format!("{} × {kind}", chronicle.count(kind)));
    let revisions = editors.iter().flat_map(|editor| &editor.revisions);
    let (all, refused) = revisions.fold((0, 0), |(all, refused), (meaning, _)| {
        (all + 1, refused + u64::from(*meaning == Meaning::Refused))
    });
    let repeated: u64 = editors.iter().map(|editor| editor.repeated).sum();
    format!(
        "faults: {} calls and {} lists, the longest took {:?}; {} failed under a bad canary, no other; {all} revisions, \
         {refused} of them refused, {served} served; {repeated} requests to control planes repeated; {}",
        tally.calls(),
        tally.lists,
        tally.longest,
        tally.failures.len(),
        disturbances.join(", "),
    )
}
