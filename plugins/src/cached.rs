//! Remembers what an authentication or policy plugin said, for as long as its `cache` allows.
//!
//! A cache belongs to one plugin of one tenant and goes with it: a change of its configuration
//! begins another. Its keys are HMACs under a key of this process over the tenant, the plugin and
//! everything that it was asked, so that neither credentials nor callers can be read from them.

mod auth;
mod memory;
mod policy;

pub(crate) use auth::CachedAuth;
pub(crate) use policy::CachedPolicy;

#[cfg(test)]
mod tests;
