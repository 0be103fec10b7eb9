//! GET: the streams of a legacy session that answer no request.

use std::sync::Arc;

use futures_util::StreamExt as _;
use gateway_mcp::header::LAST_EVENT_ID;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::news::{self, News};
use super::{Reply, authenticate, tenant};
use crate::Gateway;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Reason};
use crate::live::{self, LiveSession};
use crate::load::Slot;
use crate::session::Session;

/// The standing stream of a legacy session, or a stream that the client lost.
pub(crate) async fn open_stream(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    session: &Session,
) -> Result<Reply, Failure> {
    let (snapshot, _) = tenant::in_force(gateway, endpoint)?;
    authenticate::authenticate_owner(&snapshot, headers, session, &gateway.limits).await?;
    let slot = gateway.load.stream(&snapshot.load)?;
    let live = gateway.live.of(&endpoint.tenant, session.id);
    let Some(last) = headers.get(LAST_EVENT_ID) else {
        return Ok(standing_stream(gateway, endpoint, session, &live, slot));
    };
    let resumed = last
        .to_str()
        .ok()
        .and_then(|id| live.keep().feeds.resume(id));
    let (feed, seen) = resumed.ok_or_else(|| {
        Failure::new(
            Reason::NotFound,
            "Last-Event-ID: this session has no such stream any more",
        )
    })?;
    let events = feed.read(seen).map(move |event| {
        // Held for as long as the stream is.
        let _slot = &slot;
        event
    });
    Ok(Reply::Feed(Box::pin(events)))
}

/// The stream of what belongs to no request. While it is open, it tells of changes.
fn standing_stream(
    gateway: &Arc<Gateway>,
    endpoint: &Endpoint,
    session: &Session,
    live: &LiveSession,
    slot: Slot,
) -> Reply {
    let feed = Arc::clone(live.keep().feeds.standing());
    let open = CancellationToken::new();
    let (telling, until) = (Arc::clone(&feed), open.clone());
    let mut news = News::of(gateway, endpoint, &session.user);
    let (id, keeper) = (session.id, Arc::clone(gateway));
    let tenant = endpoint.tenant.clone();
    drop(
        gateway
            .requests
            .spawn(until.run_until_cancelled_owned(async move {
                let telling = async {
                    loop {
                        for method in news.next().await {
                            telling.push(&news::plain(method));
                        }
                    }
                };
                // A client that only listens uses its session as well.
                let using = async {
                    loop {
                        tokio::time::sleep(live::IDLE / 2).await;
                        drop(keeper.live.of(&tenant, id));
                    }
                };
                tokio::join!(telling, using)
            })),
    );
    let open = open.drop_guard();
    let events = feed.read_on().map(move |event| {
        // Held for as long as the stream is.
        let (_open, _slot) = (&open, &slot);
        event
    });
    Reply::Feed(Box::pin(events))
}
