//! Where a client is told of the resources that it watches.

use std::sync::{Arc, Weak};

use gateway_core::ServerName;
use gateway_mcp::message::Message;

use super::updates::{Updates, tagged};
use crate::exposure::expose_links;
use crate::live::LiveSession;
use crate::upstream::{Told, UPDATED};

/// Where a client is told.
#[derive(Debug, Clone)]
pub(super) enum Recipient {
    /// On the standing stream of a legacy session.
    Session(Weak<LiveSession>),
    /// On a modern subscription.
    Subscription(Arc<Updates>),
}

impl Recipient {
    /// Takes what a server says; `is_prefixed`: whether the client knows URIs by their servers.
    pub(super) fn told(&self, server: &ServerName, is_prefixed: bool) -> Told {
        let (server, recipient) = (server.clone(), self.clone());
        Arc::new(move |message: &Message| {
            let message = match is_prefixed {
                true => expose_links(message.clone(), UPDATED, &server),
                false => message.clone(),
            };
            match &recipient {
                Self::Session(live) => {
                    if let Some(live) = live.upgrade() {
                        let told = tagged(&message, None);
                        live.keep().feeds.standing().push(told.bytes());
                    }
                }
                Self::Subscription(updates) => updates.push(&message),
            }
        })
    }
}
