//! Connections that are silent, at a clock that runs as fast as nothing happens.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

const IDLE: Duration = Duration::from_secs(100);
const HEAD: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(30);

fn connection() -> (DuplexStream, Watched<DuplexStream>, Requests) {
    let (client, server) = duplex(64);
    let requests = Requests::default();
    let limits = Limits {
        idle_timeout: IDLE,
        header_timeout: HEAD,
        write_timeout: WRITE,
        ..Limits::default()
    };
    let watched = Watched::new(server, requests.clone(), &limits);
    (client, watched, requests)
}

/// When, from `since` on, reading fails for the client's silence.
async fn cut_off(watched: &mut Watched<DuplexStream>, since: Instant) -> Duration {
    let mut buffer = [0; 64];
    loop {
        match watched.read(&mut buffer).await {
            Ok(read) => assert_ne!(read, 0, "the client is still there"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                return since.elapsed();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_be_idle_longer_than_it_may_take_for_a_head() {
    let (_client, mut watched, _) = connection();
    assert_eq!(cut_off(&mut watched, Instant::now()).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_heads_time_counts_from_its_first_byte_however_it_trickles() {
    let (mut client, mut watched, _) = connection();
    let began = Instant::now();
    let trickle = tokio::spawn(async move {
        loop {
            if client.write_all(b"G").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    });
    let took = cut_off(&mut watched, began).await;
    assert!(took >= HEAD && took < HEAD * 2, "{took:?}");
    trickle.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_any_time_and_leaves_the_full_idle_time_after_it() {
    let (mut client, mut watched, requests) = connection();
    client.write_all(b"POST /mcp").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(watched.read(&mut buffer).await.unwrap(), 9);
    let request = requests.begin();
    let waiting = tokio::time::timeout(IDLE * 10, watched.read(&mut buffer)).await;
    assert!(waiting.is_err(), "a request is under way");
    drop(request);
    assert_eq!(cut_off(&mut watched, Instant::now()).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_over_before_anything_is_read_again_counts_too() {
    let (mut client, mut watched, requests) = connection();
    client.write_all(b"POST /mcp").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(watched.read(&mut buffer).await.unwrap(), 9);
    let request = requests.begin();
    tokio::time::sleep(HEAD * 5).await;
    drop(request);
    assert_eq!(cut_off(&mut watched, Instant::now()).await, IDLE);
}

/// Whoever reads is not asked to do so again when a request ends.
#[tokio::test(start_paused = true)]
async fn the_idle_time_counts_from_the_end_of_a_request_that_was_waited_for() {
    let (mut client, mut watched, requests) = connection();
    client.write_all(b"POST /mcp").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(watched.read(&mut buffer).await.unwrap(), 9);
    let request = requests.begin();
    let reading = tokio::spawn(async move {
        let error = watched.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        Instant::now()
    });
    tokio::time::sleep(IDLE * 3 / 2).await;
    drop(request);
    let ended = Instant::now();
    assert_eq!(reading.await.unwrap() - ended, IDLE);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn frames_of_http_2_are_no_heads() {
    let (mut client, mut watched, _) = connection();
    client.write_all(b"P").await.unwrap();
    let began = Instant::now();
    let frames = tokio::spawn(async move {
        client.write_all(b"RI * HTTP/2.0").await.unwrap();
        for _ in 0..20 {
            tokio::time::sleep(HEAD).await;
            client.write_all(b"ping").await.unwrap();
        }
        client
    });
    assert!(cut_off(&mut watched, began).await >= IDLE);
    frames.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    let (mut client, mut watched, _) = connection();
    let began = Instant::now();
    let error = watched.write_all(&[0; 200]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(began.elapsed(), WRITE);

    let (mut slow, mut watched, _) = connection();
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 8];
        while let Ok(1..) = slow.read(&mut buffer).await {
            tokio::time::sleep(WRITE / 2).await;
        }
    });
    watched.write_all(&[0; 200]).await.unwrap();
    drop(watched);
    reading.await.unwrap();
    client.shutdown().await.unwrap();
}
