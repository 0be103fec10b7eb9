//! `subscriptions/listen`: what a modern client asks to be told, until it goes away or the gateway
//! stops.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use gateway_mcp::author;
use gateway_mcp::json::{Fields, Text, elements};
use gateway_mcp::meta::SUBSCRIPTION_ID;
use gateway_mcp::place::Step::Field;
use gateway_mcp::place::find;
use serde_json::{Value, json};

use super::authenticate::Authenticated;
use super::news::{News, TOLD};
use super::watch::{self, Updates};
use super::{Reply, Trail};
use crate::Gateway;
use crate::load::Slot;
use crate::request::ClientRequest;

/// First what is agreed on, then what the client asked to be told.
pub(super) async fn listen(
    gateway: &Arc<Gateway>,
    caller: Box<Authenticated>,
    request: &ClientRequest,
    slot: Slot,
    trail: &mut Trail,
) -> Reply {
    let id: Arc<str> = request.message.id().unwrap_or("null").into();
    // From here on, so that nothing is missed while servers are asked.
    let news = News::of(gateway, &request.endpoint, &caller.principal.user_id);
    let updates = Arc::new(Updates::of_subscription(&id));
    let uris = resources(request);
    let watched = watch::subscribe_all(gateway, &caller, request, &uris, &updates).await;
    // The stream outlives many configurations; it holds none of them.
    drop(caller);
    trail.finish().await;

    let wanted = TOLD.iter().filter(|(_, field, _)| asks_for(request, field));
    let (mut agreed, mut methods) = (serde_json::Map::new(), Vec::new());
    for (_, field, method) in wanted {
        agreed.insert((*field).to_owned(), true.into());
        methods.push(*method);
    }
    if !uris.is_empty() {
        agreed.insert("resourceSubscriptions".to_owned(), json!(watched.uris));
    }
    let further = format!(r#","notifications":{}"#, Value::from(agreed));
    let acknowledged = notification("notifications/subscriptions/acknowledged", &id, &further);

    let lists = changes(news, methods, Arc::clone(&id));
    let resources = stream::unfold(updates, |updates| async {
        Some((updates.next().await, updates))
    });
    let told = stream::select(lists, resources).map(move |told| {
        // Held for as long as the stream is.
        let (_watches, _slot) = (&watched.watches, &slot);
        told
    });
    let stop = gateway.stopping.clone();
    let told = told.take_until(async move { stop.cancelled().await });
    let end = stream::once(async move { end(&id) });
    let events = stream::iter([acknowledged]).chain(told).chain(end);
    Reply::Events(Box::pin(events))
}

fn changes(
    news: News,
    methods: Vec<&'static str>,
    id: Arc<str>,
) -> impl Stream<Item = Bytes> + Send {
    let changed = stream::unfold(news, |mut news| async { Some((news.next().await, news)) });
    changed.flat_map(move |changed| {
        let told = changed
            .into_iter()
            .filter(|method| methods.contains(method));
        let told: Vec<_> = told.map(|method| notification(method, &id, "")).collect();
        stream::iter(told)
    })
}

/// A notification on a subscription; `further` begins with a comma.
fn notification(method: &str, id: &str, further: &str) -> Bytes {
    let params = format!(r#"{{"_meta":{{"{SUBSCRIPTION_ID}":{id}}}{further}}}"#);
    author::notification(method, Some(&params)).into_bytes()
}

/// What says that the subscription ends in good order.
fn end(id: &str) -> Bytes {
    let result = format!(r#"{{"resultType":"complete","_meta":{{"{SUBSCRIPTION_ID}":{id}}}}}"#);
    author::result(id, &result).into_bytes()
}

fn asks_for(request: &ClientRequest, field: &str) -> bool {
    let bytes = request.message.bytes();
    let place = [Field("params"), Field("notifications")];
    let filter = find(bytes, 0..bytes.len(), &place).pop();
    let fields = filter.and_then(|range| Fields::scan(bytes, range).ok());
    fields
        .and_then(|fields| fields.get(field))
        .and_then(|range| bytes.get(range))
        == Some(b"true")
}

/// The resources that the client wants to be told of, as it names them.
fn resources(request: &ClientRequest) -> Vec<String> {
    let bytes = request.message.bytes();
    let place = [
        Field("params"),
        Field("notifications"),
        Field("resourceSubscriptions"),
    ];
    let list = find(bytes, 0..bytes.len(), &place).pop();
    let uris = list.and_then(|range| elements(bytes, range));
    let uris = uris.into_iter().flatten();
    uris.filter_map(|range| Some(Text::read(bytes, range)?.as_str(bytes).to_owned()))
        .collect()
}
