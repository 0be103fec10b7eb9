//! How many files and connections the process may have open.

/// Enough for every limit's default: connections of clients, of servers, pipes of children.
#[cfg(unix)]
const WANTED: u64 = 65_536;

/// Takes as many descriptors as the system gives without asking. What shells and service managers
/// give by default, often 1,024, is meant for programs that cannot handle more, and would end what
/// the gateway serves long before its own limits do.
#[cfg(unix)]
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays as low as it is");
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_descriptors() {}
