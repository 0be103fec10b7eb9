//! What an endpoint shows of its servers, and under which names. A server never learns the names
//! that clients see, and clients of an aggregating endpoint never those that servers use.

mod prepared;
mod profile;
mod results;

use std::sync::Arc;

use gateway_core::plugin::ItemKind;
use gateway_core::{ExposedName, ExposedUri, SEPARATOR, ServerName};

use crate::upstream::Upstream;

pub(crate) use prepared::{Prepared, PreparedItem, item_kind};
pub(crate) use profile::Profile;
pub(crate) use results::expose_links;
use results::expose_tool_links;

/// One view, compiled.
#[derive(Debug)]
pub(crate) struct Exposure {
    servers: Vec<Arc<Upstream>>,
    prefixed: bool,
    profile: Option<Profile>,
    prepared: prepared::Shelf,
}

/// What an exposed name stands for.
#[derive(Debug)]
pub(crate) enum Found {
    /// This item of this server.
    Item(Arc<Upstream>, String),
    /// An item of this server whose name was too long: its own name is to be looked up among the
    /// server's items.
    Shortened(Arc<Upstream>),
}

impl Exposure {
    /// A view of one server, under its own names.
    pub(crate) fn of_one(server: Arc<Upstream>) -> Self {
        Self {
            servers: vec![server],
            prefixed: false,
            profile: None,
            prepared: prepared::Shelf::default(),
        }
    }

    /// A view of several servers. Whether names carry their server's name is decided by the
    /// configuration alone, so that they do not change when a server is down.
    pub(crate) fn of_many(servers: Vec<Arc<Upstream>>, profile: Option<Profile>) -> Self {
        let prefixed = servers.len() > 1;
        Self {
            servers,
            prefixed,
            profile,
            prepared: prepared::Shelf::default(),
        }
    }

    /// The servers in the order in which lists show them.
    pub(crate) fn servers(&self) -> &[Arc<Upstream>] {
        &self.servers
    }

    /// Whether names carry their server's name.
    pub(crate) fn is_prefixed(&self) -> bool {
        self.prefixed
    }

    /// The name under which clients see an item; `None` when they do not see it.
    pub(crate) fn name_of(
        &self,
        kind: ItemKind,
        server: &ServerName,
        name: &str,
    ) -> Option<String> {
        match kind {
            ItemKind::Resource | ItemKind::ResourceTemplate if self.prefixed => {
                Some(ExposedUri::of(server, name).into_string())
            }
            ItemKind::Tool => self.tool_name(server, name),
            ItemKind::Prompt => Some(self.plain_name(server, name)),
            // Never shortened: an id is found nowhere else.
            ItemKind::Task if self.prefixed => Some(format!("{server}{SEPARATOR}{name}")),
            ItemKind::Task => Some(name.to_owned()),
            ItemKind::Resource | ItemKind::ResourceTemplate => Some(name.to_owned()),
        }
    }

    fn plain_name(&self, server: &ServerName, name: &str) -> String {
        if self.prefixed {
            ExposedName::of(server, name).into_string()
        } else {
            name.to_owned()
        }
    }

    fn tool_name(&self, server: &ServerName, name: &str) -> Option<String> {
        let Some(profile) = &self.profile else {
            return Some(self.plain_name(server, name));
        };
        if !profile.shows(server, name) {
            return None;
        }
        if let Some(renamed) = profile.renamed(server, name) {
            return Some(renamed.to_owned());
        }
        // A rename wins over a tool that has the name already.
        let plain = self.plain_name(server, name);
        profile.original(&plain).is_none().then_some(plain)
    }

    /// What a client's name stands for; `None` when it stands for nothing that is shown.
    pub(crate) fn find(&self, kind: ItemKind, exposed: &str) -> Option<Found> {
        match kind {
            ItemKind::Tool => self.find_tool(exposed),
            ItemKind::Prompt => self.find_plain(exposed),
            ItemKind::Task if self.prefixed => {
                let (server, id) = ExposedName::split(exposed)?;
                Some(Found::Item(self.server(&server)?, id.to_owned()))
            }
            ItemKind::Task => self.find_alone(exposed),
            ItemKind::Resource | ItemKind::ResourceTemplate if self.prefixed => {
                let (server, uri) = ExposedUri::split(exposed)?;
                Some(Found::Item(self.server(&server)?, uri))
            }
            ItemKind::Resource | ItemKind::ResourceTemplate => self.find_alone(exposed),
        }
    }

    fn find_tool(&self, exposed: &str) -> Option<Found> {
        let Some(profile) = &self.profile else {
            return self.find_plain(exposed);
        };
        if let Some((server, name)) = profile.original(exposed) {
            return Some(Found::Item(self.server(server)?, name.to_owned()));
        }
        let found = self.find_plain(exposed)?;
        let is_shown = match &found {
            Found::Item(server, name) => {
                self.tool_name(server.name(), name).as_deref() == Some(exposed)
            }
            // Decided when the name is known.
            Found::Shortened(_) => true,
        };
        is_shown.then_some(found)
    }

    fn find_plain(&self, exposed: &str) -> Option<Found> {
        if !self.prefixed {
            return self.find_alone(exposed);
        }
        let (server, name) = ExposedName::split(exposed)?;
        let server = self.server(&server)?;
        Some(if ExposedName::may_be_shortened(exposed) {
            Found::Shortened(server)
        } else {
            Found::Item(server, name.to_owned())
        })
    }

    fn find_alone(&self, name: &str) -> Option<Found> {
        let server = self.servers.first()?;
        Some(Found::Item(Arc::clone(server), name.to_owned()))
    }

    fn server(&self, name: &ServerName) -> Option<Arc<Upstream>> {
        self.servers
            .iter()
            .find(|server| server.name() == name)
            .map(Arc::clone)
    }
}
