//! Real children: a small server that misbehaves in the ways its arguments name.

use std::path::Path;

use http::HeaderMap;
use serde::Deserialize;

use super::*;
use crate::client::testing::child::{ask, command, spawn};
use crate::client::testing::{all, call, hello, message, soon, until, within};
use crate::client::{Peer, Transport};
use crate::version::Version;

/// The process ids of the child and its own child.
fn pids(peer: &Peer) -> Vec<u32> {
    #[derive(Deserialize)]
    struct Info {
        pids: Vec<u32>,
    }
    let info = peer.hello().server_info.as_ref().unwrap();
    serde_json::from_str::<Info>(info.get()).unwrap().pids
}

/// Whether a process is still there, be it as a zombie.
fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether a process of which this one is not the parent still runs.
fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

#[tokio::test]
async fn finds_out_the_era_of_a_command() {
    let peer = spawn(command(&["modern"])).await;
    assert_eq!(peer.hello().version, Version::V2026_07_28);
    let peer = spawn(command(&[])).await;
    assert_eq!(peer.hello().version, Version::LATEST_LEGACY);
    let mut silent = command(&["silent"]);
    silent.probe_timeout = Duration::from_millis(50);
    assert_eq!(spawn(silent).await.hello().era, Era::Legacy);
}

#[tokio::test]
async fn starts_a_command_again_that_ends_on_the_probe() {
    let peer = spawn(command(&["mortal"])).await;
    assert_eq!(peer.hello().era, Era::Legacy);
    assert!(ask(&peer, &call("m")).await.is_ok());
    let error = Peer::spawn(command(&["mortal"]), hello(), Some(Era::Modern), soon())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
}

#[tokio::test]
async fn waits_for_a_modern_command_that_starts_slowly() {
    let mut slow = ChildCommand::new("slow", "sh");
    let answer = r#"{"jsonrpc":"2.0","id":3,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}"#;
    let script = format!(
        r#"read -r probe; read -r initialize; echo '{{"jsonrpc":"2.0","id":2,"error":{{"code":-32601,"message":"no"}}}}'; read -r again; echo '{answer}'; read -r end"#
    );
    slow.args = vec!["-c".into(), script];
    slow.probe_timeout = Duration::from_millis(200);
    assert_eq!(spawn(slow).await.hello().era, Era::Modern);
}

#[tokio::test]
async fn restores_ids_of_concurrent_requests_that_collide() {
    let peer = Arc::new(spawn(command(&[])).await);
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..20 {
        let peer = peer.clone();
        asking.spawn(async move {
            let request =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"n":{n}}}}}"#);
            let answers = ask(&peer, &message(request)).await.unwrap();
            assert_eq!(answers.len(), 1);
            let answer = message(answers[0].clone());
            assert_eq!(answer.id(), Some("1"));
            assert!(answer.result().unwrap().contains(&format!(r#""n": {n}}}"#)));
        });
    }
    within(asking.join_all()).await;
}

#[tokio::test]
async fn passes_over_noise_long_lines_and_answers_for_nobody() {
    let peer = spawn(command(&[])).await;
    for _ in 0..3 {
        assert_eq!(ask(&peer, &call("noise")).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn tells_a_command_when_nobody_waits_any_more() {
    let peer = spawn(command(&[])).await;
    // The probe and the handshake took the numbers before.
    let exchange = peer
        .request(&call("hang"), HeaderMap::new(), soon())
        .await
        .unwrap();
    drop(exchange);
    let deadline = Deadline::after(Duration::from_millis(50));
    let mut exchange = peer
        .request(&call("hang"), HeaderMap::new(), deadline)
        .await
        .unwrap();
    assert!(
        within(exchange.next())
            .await
            .unwrap()
            .unwrap_err()
            .is_deadline()
    );
    ask(&peer, &call("m")).await.unwrap();
    let answers = ask(&peer, &call("cancelled")).await.unwrap();
    assert!(answers[0].contains(r#""cancelled": [3, 4]"#), "{answers:?}");
}

#[tokio::test]
async fn requests_end_with_the_child_and_say_how_it_ended() {
    let peer = spawn(command(&["parent"])).await;
    let waiting = peer
        .request(&call("hang"), HeaderMap::new(), soon())
        .await
        .unwrap();
    let error = ask(&peer, &call("die")).await.unwrap_err();
    assert!(error.to_string().contains("exit status: 7"), "{error}");
    assert!(error.is_peer_lost() && !error.is_before_send());
    assert!(all(waiting).await.unwrap_err().is_peer_lost());
    let ClosedReason::Exited(Some(status)) = within(peer.closed()).await else {
        panic!()
    };
    assert_eq!(status.code(), Some(7));
    assert!(ask(&peer, &call("m")).await.unwrap_err().is_peer_lost());
    let [child, grandchild] = pids(&peer)[..] else {
        panic!()
    };
    assert!(!is_there(child));
    until(|| !runs(grandchild)).await;
}

#[tokio::test]
async fn a_command_that_closes_its_output_or_input_is_ended() {
    for method in ["close output", "close input"] {
        let mut command = command(&[]);
        command.close_grace = Duration::from_millis(50);
        let peer = spawn(command).await;
        let waiting = peer
            .request(&call(method), HeaderMap::new(), soon())
            .await
            .unwrap();
        // A closed input shows only when something is written to it.
        until(|| {
            let line = encode_line(&call("m"));
            let Transport::Child(link) = &peer.transport else {
                panic!()
            };
            drop(link.lines.try_send(line));
            link.closed.borrow().is_some()
        })
        .await;
        assert!(all(waiting).await.unwrap_err().is_peer_lost(), "{method}");
        assert!(
            matches!(peer.closed().await, ClosedReason::Exited(_)),
            "{method}"
        );
        assert!(!is_there(pids(&peer)[0]), "{method}");
    }
}

#[tokio::test]
async fn a_request_that_finds_the_input_closed_says_how_the_command_ended() {
    let mut ends = ChildCommand::new("ends", "sh");
    ends.args = vec!["-c".into(), "exec <&-; sleep 0.3; exit 3".into()];
    let link = StdioLink::start(&ends, Callbacks::default()).unwrap();
    // The input is found closed before the command is known to have ended.
    until(|| {
        drop(link.lines.try_send(encode_line(&call("m"))));
        link.lines.is_closed()
    })
    .await;
    let error = within(link.notify(&call("m"), soon())).await.unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
}

#[tokio::test]
async fn closing_leaves_no_process_however_stubborn_it_is() {
    for ways in [
        &["parent"][..],
        &["parent", "deaf"],
        &["parent", "deaf", "stubborn"],
    ] {
        let mut command = command(ways);
        command.close_grace = Duration::from_millis(200);
        let peer = spawn(command).await;
        let [child, grandchild] = pids(&peer)[..] else {
            panic!()
        };
        assert!(runs(child) && runs(grandchild));
        within(peer.close()).await;
        assert!(!is_there(child), "{ways:?}");
        until(|| !runs(grandchild)).await;
        assert_eq!(peer.closed().await, ClosedReason::Ended);
    }
}

#[tokio::test]
async fn dropping_the_peer_ends_the_child_after_its_last_exchange() {
    let mut command = command(&["parent", "deaf", "stubborn"]);
    command.close_grace = Duration::from_millis(50);
    let peer = spawn(command).await;
    let [child, grandchild] = pids(&peer)[..] else {
        panic!()
    };
    let exchange = peer
        .request(&call("m"), HeaderMap::new(), soon())
        .await
        .unwrap();
    drop(peer);
    assert_eq!(all(exchange).await.unwrap().len(), 1);
    until(|| !is_there(child) && !runs(grandchild)).await;
}

#[test]
fn a_runtime_that_shuts_down_early_leaves_no_process() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let peer = runtime.block_on(spawn(command(&["parent", "deaf", "stubborn"])));
    let pids = pids(&peer);
    drop(runtime);
    let started = std::thread::spawn(move || {
        while pids.iter().any(|pid| runs(*pid)) {
            std::thread::yield_now();
        }
    });
    started.join().unwrap();
}

#[tokio::test]
async fn a_command_that_stops_reading_holds_nobody_up_past_the_deadline() {
    let mut command = command(&[]);
    command.close_grace = Duration::from_millis(50);
    let peer = Arc::new(spawn(command).await);
    drop(
        peer.request(&call("stop reading"), HeaderMap::new(), soon())
            .await
            .unwrap(),
    );
    let body = "x".repeat(32 * 1024);
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"b":"{body}"}}}}"#);
    let request = message(request);
    let mut unsent = 0;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..WAITING_LINES * 2 {
        let (peer, request) = (peer.clone(), request.clone());
        asking.spawn(async move {
            let deadline = Deadline::after(Duration::from_millis(200));
            let exchange = peer.request(&request, HeaderMap::new(), deadline).await?;
            all(exchange).await
        });
    }
    for outcome in within(asking.join_all()).await {
        let error = outcome.unwrap_err();
        assert!(error.is_deadline(), "{error}");
        unsent += u32::from(error.is_before_send());
    }
    assert!(unsent > 0);
    within(peer.close()).await;
}
