//! A shelf in front of a server that answers as the test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, watch};

use super::super::changes::Changes;
use super::super::listing::testing::listing;
use super::super::listing::{Lifetime, UNSAID};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const TOOLS_CHANGED: Option<&str> = Some("notifications/tools/list_changed");

/// A server whose lists have as many tools as it was asked times.
struct Server {
    shelf: Arc<Shelf>,
    changes: watch::Sender<Changes>,
    asked: Arc<AtomicUsize>,
    /// One answer for each permit.
    answers: Arc<Semaphore>,
}

/// What a list says of itself.
#[derive(Clone, Copy)]
enum Scope {
    ForAll,
    Private,
}

impl Server {
    fn new() -> Self {
        let server: ServerName = "server".parse().unwrap();
        Self {
            shelf: Shelf::new(server, ListKind::Tools, TaskTracker::new()),
            changes: watch::Sender::default(),
            asked: Arc::default(),
            answers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// One that answers only when it gets permits.
    fn held() -> Self {
        Self {
            answers: Arc::new(Semaphore::new(0)),
            ..Self::new()
        }
    }

    async fn list_for(&self, user: &str, scope: Scope, patience: Duration) -> Option<Listed> {
        let ask = || {
            let (asked, answers) = (Arc::clone(&self.asked), Arc::clone(&self.answers));
            let (changes, user) = (self.changes.clone(), user.to_owned());
            async move {
                let stamp = changes.borrow().stamp(ListKind::Tools);
                let count = asked.fetch_add(1, Ordering::SeqCst) + 1;
                answers.acquire().await.unwrap().forget();
                let is_for_all = matches!(scope, Scope::ForAll);
                Ok(Listing {
                    stamp,
                    changes,
                    is_for_all,
                    is_public: is_for_all,
                    ..listing(&user, count)
                })
            }
        };
        let reader = Reader::named(user);
        self.shelf.list(&reader, false, patience, ask).await.ok()
    }

    /// The names in the list that a user gets.
    async fn names(&self, user: &str, scope: Scope) -> Vec<String> {
        let listed = self.list_for(user, scope, PATIENCE).await.unwrap();
        let names = listed.items.iter().map(|item| item.name().to_owned());
        names.collect()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn wait_until_asked(&self, times: usize) {
        while self.asked() < times {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn what_is_for_all_is_asked_for_once() {
    let server = Server::new();
    assert_eq!(server.names("ada", Scope::ForAll).await, ["ada-0"]);
    assert_eq!(server.names("ada", Scope::ForAll).await, ["ada-0"]);
    assert_eq!(server.names("bob", Scope::ForAll).await, ["ada-0"]);
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn what_is_private_is_shown_to_nobody_else() {
    let server = Server::new();
    assert_eq!(server.names("ada", Scope::Private).await, ["ada-0"]);
    assert_eq!(
        server.names("bob", Scope::Private).await,
        ["bob-0", "bob-1"]
    );
    assert_eq!(server.names("ada", Scope::Private).await, ["ada-0"]);
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn what_becomes_private_is_shown_to_nobody_else_even_to_those_who_waited_for_it() {
    let server = Server::new();
    server.names("ada", Scope::ForAll).await;
    Changes::count(&server.changes, TOOLS_CHANGED);
    // All three take their turn at what was for all.
    let (ada, bob, eve) = tokio::join!(
        server.names("ada", Scope::Private),
        server.names("bob", Scope::Private),
        server.names("eve", Scope::Private),
    );
    for (user, names) in [("ada", ada), ("bob", bob), ("eve", eve)] {
        assert!(names.iter().all(|name| name.starts_with(user)), "{names:?}");
    }
}

#[tokio::test]
async fn those_who_ask_at_once_ask_the_server_once() {
    let server = Server::held();
    let ask = || server.list_for("ada", Scope::Private, PATIENCE);
    let answer = async {
        server.wait_until_asked(1).await;
        server.answers.add_permits(1);
    };
    let (one, other, third, ()) = tokio::join!(ask(), ask(), ask(), answer);
    for listed in [one, other, third] {
        assert_eq!(listed.unwrap().items.len(), 1);
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_change_while_the_server_is_asked_leaves_nothing_stale_behind() {
    let server = Server::held();
    let change = async {
        server.wait_until_asked(1).await;
        Changes::count(&server.changes, TOOLS_CHANGED);
        server.answers.add_permits(1);
    };
    let (stale, ()) = tokio::join!(server.list_for("ada", Scope::ForAll, PATIENCE), change);
    assert!(stale.unwrap().hints.ttl.is_zero(), "nobody may keep it");
    server.answers.add_permits(1);
    let fresh = server.list_for("ada", Scope::ForAll, PATIENCE).await;
    assert_eq!(fresh.unwrap().hints.ttl, UNSAID);
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_change_of_another_list_changes_nothing_and_a_new_connection_everything() {
    let server = Server::new();
    server.names("ada", Scope::ForAll).await;
    let other = Some("notifications/prompts/list_changed");
    Changes::count(&server.changes, other);
    server.names("ada", Scope::ForAll).await;
    assert_eq!(server.asked(), 1);
    Changes::count_all(&server.changes);
    server.names("ada", Scope::ForAll).await;
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn what_a_call_showed_to_be_wrong_is_asked_for_anew() {
    for scope in [Scope::ForAll, Scope::Private] {
        let server = Server::new();
        server.names("ada", scope).await;
        server.shelf.distrust(&AuthorizationContext::GATEWAY);
        assert_eq!(server.names("ada", scope).await, ["ada-0", "ada-1"]);
        server.names("ada", scope).await;
        assert_eq!(server.asked(), 2);
    }
}

#[tokio::test]
async fn what_does_not_hold_at_all_is_asked_for_every_time() {
    let server = Server::new();
    let reader = Reader::named("ada");
    for times in 1..3 {
        let asked = Arc::clone(&server.asked);
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                let lifetime = Lifetime::Until(Instant::now());
                let list = listing("ada", 1);
                Ok(Listing { lifetime, ..list })
            }
        };
        let listed = server.shelf.list(&reader, false, PATIENCE, ask).await;
        assert!(listed.unwrap().hints.ttl.is_zero());
        assert_eq!(server.asked(), times);
    }
}

#[tokio::test]
async fn while_a_server_hangs_a_user_is_shown_what_it_said_last_to_that_user() {
    let server = Server::held();
    server.answers.add_permits(1);
    server.names("ada", Scope::Private).await;
    Changes::count(&server.changes, TOOLS_CHANGED);
    let last = server.list_for("ada", Scope::Private, Duration::ZERO).await;
    let last = last.unwrap();
    assert_eq!((last.items.len(), last.hints.ttl), (1, Duration::ZERO));
    let nothing = server.list_for("bob", Scope::Private, Duration::ZERO).await;
    assert!(nothing.is_none());
}
