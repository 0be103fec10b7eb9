//! Replicas that break the rules: each gets a clean end, and nobody else notices.

use std::time::Duration;

use gateway_proto::push::v1 as pb;
use gateway_proto::push::v1::config_push_client::ConfigPushClient;
use gateway_proto::push::v1::subscribe_request::Message;
use tonic::Code;

use super::harness::{Conversation, Plane, Replica};
use super::violation;
use crate::grpc::Limits;

fn hello(replica: &str) -> pb::Hello {
    pb::Hello {
        replica: replica.to_owned(),
        ..Default::default()
    }
}

async fn refused_hello(plane: &Plane, hello: pb::Hello) -> String {
    let mut conversation = Conversation::open(plane).await;
    conversation.say(Message::Hello(hello)).await;
    let status = conversation.end().await.expect("accepted");
    assert_eq!(status.code(), Code::InvalidArgument);
    status.message().to_owned()
}

#[tokio::test]
async fn a_hello_without_a_proper_name_is_refused() {
    let plane = Plane::start().await;
    for name in ["", "line\nbreak", &"x".repeat(129)] {
        let reason = refused_hello(&plane, hello(name)).await;
        assert!(reason.contains("name"), "{reason}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_hello_with_an_address_that_is_none_is_refused() {
    let plane = Plane::start().await;
    for address in ["edge", "edge:", "edge:0", ":1", "a b:1", "edge:70000"] {
        let hello = pb::Hello {
            advertise: address.to_owned(),
            ..hello("r1")
        };
        let reason = refused_hello(&plane, hello).await;
        assert!(reason.contains("HOST:PORT"), "{address}: {reason}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_hello_that_holds_what_is_no_tenant_is_refused() {
    let plane = Plane::start().await;
    let held = pb::HeldDocument {
        tenant: "../etc".to_owned(),
        revision: 1,
    };
    let hello = pb::Hello {
        held: vec![held],
        ..hello("r1")
    };
    let reason = refused_hello(&plane, hello).await;
    assert!(reason.contains("../etc"), "{reason}");
    plane.stop().await;
}

#[tokio::test]
async fn a_hello_that_is_reached_nowhere_in_particular_is_refused() {
    let plane = Plane::start().await;
    for advertise in [
        "west-1",
        "west-1:0",
        "http://west-1:8815",
        "user@west-1:8815",
    ] {
        let hello = pb::Hello {
            advertise: advertise.to_owned(),
            ..hello("r1")
        };
        let reason = refused_hello(&plane, hello).await;
        assert!(reason.contains("HOST:PORT"), "{reason}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_first_message_that_is_no_hello_is_refused() {
    let plane = Plane::start().await;
    let mut conversation = Conversation::open(&plane).await;
    let answer = pb::Acknowledge::default();
    conversation.say(Message::Acknowledge(answer)).await;
    let status = conversation.end().await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);

    let mut conversation = Conversation::open(&plane).await;
    conversation.say_nothing_in_a_message().await;
    let status = conversation.end().await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    plane.stop().await;
}

#[tokio::test]
async fn what_is_held_is_said_behind_a_hello_and_nowhere_else() {
    let plane = Plane::start().await;
    let part = |tenant: &str| {
        let tenant = tenant.to_owned();
        let document = pb::HeldDocument {
            tenant,
            revision: 1,
        };
        Message::Held(pb::Held {
            documents: vec![document],
            more: true,
        })
    };
    let more = pb::Hello {
        more_held: true,
        ..hello("r1")
    };
    let cases = [
        vec![part("acme")],
        vec![Message::Hello(hello("r1")), part("acme")],
        vec![Message::Hello(more.clone()), part("../etc")],
        vec![
            Message::Hello(more.clone()),
            part("acme"),
            Message::Hello(hello("r1")),
        ],
        vec![
            Message::Hello(more),
            Message::Acknowledge(pb::Acknowledge::default()),
        ],
    ];
    for messages in cases {
        let said = format!("{messages:?}");
        let mut conversation = Conversation::open(&plane).await;
        for message in messages {
            conversation.say(message).await;
        }
        let status = conversation.end().await.unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{said}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_second_hello_is_refused() {
    let plane = Plane::start().await;
    let mut replica = Replica::synced(&plane, "r1").await;
    replica.conversation.say(Message::Hello(hello("r1"))).await;
    let status = replica.conversation.end().await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    plane
        .until(|| plane.control_plane.replicas().is_empty())
        .await;
    plane.stop().await;
}

#[tokio::test]
async fn an_answer_to_a_batch_that_was_not_sent_ends_the_stream() {
    let plane = Plane::start().await;
    for nonce in [0, 2, u64::MAX] {
        let mut replica = Replica::connect(&plane, "r1").await;
        replica.next().await;
        let answer = pb::Acknowledge {
            nonce,
            refusals: Vec::new(),
        };
        replica.conversation.say(Message::Acknowledge(answer)).await;
        let status = replica.conversation.end().await.unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_refusal_of_what_was_not_sent_ends_the_stream() {
    let plane = Plane::start().await;
    let revision = plane.apply("acme", "one").await;
    for (name, number) in [("zoo", 1), ("acme", 2)] {
        let mut replica = Replica::connect(&plane, "r1").await;
        let batch = replica.next().await;
        let wrong = gateway_core::Revision(number);
        replica.refuse(&batch, name, wrong, violation()).await;
        let status = replica.conversation.end().await.unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let mut replica = Replica::connect(&plane, "r1").await;
    let batch = replica.next().await;
    let silent = pb::Refusal {
        tenant: "acme".to_owned(),
        revision: revision.0,
        violations: Vec::new(),
    };
    let answer = pb::Acknowledge {
        nonce: batch.nonce,
        refusals: vec![silent],
    };
    replica.conversation.say(Message::Acknowledge(answer)).await;
    let status = replica.conversation.end().await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    plane.stop().await;
}

#[tokio::test]
async fn silence_instead_of_a_hello_ends_the_stream() {
    let limits = Limits {
        hello: Duration::from_millis(20),
        ..Limits::default()
    };
    let plane = Plane::start_with(limits).await;
    let mut conversation = Conversation::open(&plane).await;
    let status = conversation.end().await.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    plane.stop().await;
}

#[tokio::test]
async fn new_replicas_take_turns_and_those_that_hold_everything_wait_for_none() {
    let limits = Limits {
        full_syncs: 1,
        ..Limits::default()
    };
    let plane = Plane::start_with(limits).await;
    for tenant in ["acme", "beta"] {
        plane.apply(tenant, "one").await;
    }
    let holds_everything = Replica::synced(&plane, "known").await.disconnect();
    let mut slow = Replica::connect(&plane, "slow").await;
    let kept_back = slow.next().await;
    let mut second = Replica::connect(&plane, "second").await;
    let mut known = holds_everything.reconnect(&plane).await;
    assert!(known.take().await.documents.is_empty());
    let early = tokio::time::timeout(Duration::from_millis(50), second.next_or_end()).await;
    assert!(early.is_err(), "it was not its turn");
    slow.acknowledge(&kept_back).await;
    assert_eq!(second.take().await.documents.len(), 2);
    plane.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_end_only_their_stream() {
    let plane = Plane::start().await;
    let mut good = Replica::synced(&plane, "good").await;
    // A message of another service, whose fields have other types here.
    let garbage = pb::SubscribeResponse {
        nonce: 7,
        store: "\u{1}".repeat(100),
        ..Default::default()
    };
    let mut client = tonic::client::Grpc::new(plane.channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::SubscribeResponse, pb::SubscribeResponse>::default();
    let path = "/gateway.push.v1.ConfigPush/Subscribe";
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    let request = tonic::Request::new(tokio_stream::once(garbage));
    let response = client.streaming(request, path, codec).await.unwrap();
    let status = response.into_inner().message().await.unwrap_err();
    assert_ne!(status.code(), Code::Unknown, "{status:?}");

    plane.apply("acme", "one").await;
    assert_eq!(good.take().await.documents.len(), 1);
    plane.stop().await;
}

#[tokio::test]
async fn a_later_stream_of_the_same_replica_takes_over() {
    let plane = Plane::start().await;
    let mut old = Replica::synced(&plane, "r1").await;
    let mut new = Replica::synced(&plane, "r1").await;
    let status = old.conversation.end().await.unwrap();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(plane.control_plane.replicas().len(), 1);
    plane.apply("acme", "one").await;
    assert_eq!(new.take().await.documents.len(), 1);
    plane.stop().await;
}

#[tokio::test]
async fn shutdown_ends_every_stream_and_the_pipe_refuses_from_then_on() {
    let plane = Plane::start().await;
    let channel = plane.channel.clone();
    let mut replica = Replica::synced(&plane, "r1").await;
    let mut silent = Conversation::open(&plane).await;
    plane.stop().await;
    for conversation in [&mut replica.conversation, &mut silent] {
        let status = conversation.end().await.unwrap();
        assert_eq!(status.code(), Code::Unavailable);
    }
    let mut client = ConfigPushClient::new(channel);
    let outcome = client.subscribe(tokio_stream::pending()).await;
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
}
