//! Outages under load: two control planes on one PostgreSQL and two data planes behind a balancer, each of which is killed,
//! replaced or stopped while clients call and tenants are edited.

mod asker;
mod callers;
mod chronicle;
mod events;
mod outages;
mod random;
mod site;

use std::collections::BTreeMap;

pub use callers::{Failure, Load, Tally};
pub use chronicle::Chronicle;
pub use events::Events;
pub use outages::{outages, replacements};
pub use random::Random;
pub use site::{Kind, Site};

/// A tool that succeeded: of which tenant and server, and under which name the server knows it.
pub type Called = (String, String, String);

/// How often each was called.
pub type Calls = BTreeMap<Called, u64>;

/// What a revision is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// By its number is known what calls are answered with.
    Edition(u64),
    /// Data planes refuse it.
    Refused,
    /// Its calls fail.
    Failing,
}

/// Every revision of every tenant.
pub type Meanings = BTreeMap<(String, u64), Meaning>;

/// How many tools a server has of which one has another name in each edition.
pub const TOOLS: u64 = 16;

/// The server and the tool that are called `which` in an edition.
pub fn target(edition: u64) -> (&'static str, String) {
    let server = match edition / 2 % 2 {
        0 => "left",
        _ => "right",
    };
    (server, format!("tool-{:04}", edition % TOOLS))
}
