//! What is known of a server's tools on which calls of them depend: whose arguments go into
//! headers as well, and who breaks the rules for that.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use gateway_mcp::header::{InvalidAnnotation, ParamHeaders};
use gateway_mcp::list::Item;
use moka::sync::Cache;
use tokio::sync::watch;
use tracing::warn;

use super::authorization::AuthorizationContext;
use super::changes::Changes;

/// How many tools that are left out are remembered, so that each is warned of once.
const MAX_REFUSED: usize = 20_000;

/// Of how many contexts something is kept, and for how long unused. What is lost is learnt again.
const MAX_CONTEXTS: u64 = 1_000;
const IDLE: Duration = Duration::from_secs(30 * 60);

/// What is known to those with the same rights, who see the same lists. An empty cache is large, and most of many
/// servers are never asked for, so it is made with its first entry.
#[derive(Debug, Default)]
pub(super) struct ToolHeadersByContext(OnceLock<Cache<AuthorizationContext, Arc<ToolHeaders>>>);

/// Learnt from every list of tools that is shown to those with the same rights.
#[derive(Debug)]
pub(super) struct ToolHeaders {
    /// Only over HTTP are there headers, and do invalid annotations matter.
    over_http: bool,
    /// Counts the changes of the tools. Not a receiver, because knowing is not listening: a user's
    /// connection nobody listens to may end.
    changes: watch::Sender<Changes>,
    known: ArcSwap<Known>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    /// What had changed when the list was asked for; `None`: it has to be asked for.
    as_of: Option<Changes>,
    learnt: Arc<Learnt>,
}

/// What there is to know of one list; it is kept with the list.
#[derive(Debug, Default, Clone)]
pub(super) struct Learnt {
    /// By the tools' own names; those without annotations are left out.
    annotated: HashMap<String, Arc<ParamHeaders>>,
    /// The tools that must not be offered, and why.
    refused: HashMap<String, InvalidAnnotation>,
}

impl ToolHeadersByContext {
    pub(super) fn of(
        &self,
        context: &AuthorizationContext,
        new: impl FnOnce() -> ToolHeaders,
    ) -> Arc<ToolHeaders> {
        let all = self.0.get_or_init(|| {
            let cache = Cache::builder().max_capacity(MAX_CONTEXTS);
            cache.time_to_idle(IDLE).build()
        });
        let known = all.get(context);
        known.unwrap_or_else(|| all.get_with(context.clone(), || Arc::new(new())))
    }
}

impl ToolHeaders {
    pub(super) fn new(over_http: bool, changes: watch::Sender<Changes>) -> Self {
        Self {
            over_http,
            changes,
            known: ArcSwap::default(),
        }
    }

    /// What has changed until now, to be remembered when a list is asked for.
    pub(super) fn now(&self) -> Changes {
        *self.changes.borrow()
    }

    /// Learns from a list that was asked for `as_of` then, and gives it back without the tools
    /// that must not be offered.
    pub(super) fn learn(&self, server: &str, mut items: Vec<Item>, as_of: Changes) -> Vec<Item> {
        let mut known = Learnt {
            annotated: HashMap::new(),
            refused: self.known.load().learnt.refused.clone(),
        };
        if known.refused.len() > MAX_REFUSED {
            known.refused.clear();
        }
        items.retain(|item| {
            let name = item.name();
            match read(item) {
                Ok(headers) => {
                    known.refused.remove(name);
                    if !headers.is_empty() {
                        known.annotated.insert(name.to_owned(), Arc::new(headers));
                    }
                    true
                }
                Err(error) if self.over_http => {
                    if known.refused.get(name) != Some(&error) {
                        warn!(server, tool = name, %error, "a tool is not offered: its definition is invalid");
                    }
                    known.refused.insert(name.to_owned(), error);
                    false
                }
                Err(_) => true,
            }
        });
        self.adopt(&Arc::new(known), as_of);
        items
    }

    /// What is known now.
    pub(super) fn learnt(&self) -> Arc<Learnt> {
        Arc::clone(&self.known.load().learnt)
    }

    /// Takes over what was learnt from a list, which is as it was asked for `as_of` then.
    pub(super) fn adopt(&self, learnt: &Arc<Learnt>, as_of: Changes) {
        self.known.store(Arc::new(Known {
            as_of: Some(as_of),
            learnt: Arc::clone(learnt),
        }));
    }

    /// Whether nothing has changed since the list was asked for.
    pub(super) fn is_current(&self) -> bool {
        let as_of = self.known.load().as_of;
        as_of.is_some_and(|as_of| as_of.has_same_tools(self.now()))
    }

    /// Makes the list be asked for again before it is relied on.
    pub(super) fn distrust(&self) {
        self.known.rcu(|known| Known {
            as_of: None,
            ..Known::clone(known)
        });
    }

    /// Why a tool must not be called, as far as that is known.
    pub(super) fn refusal(&self, tool: &str) -> Option<InvalidAnnotation> {
        self.known.load().learnt.refused.get(tool).cloned()
    }

    /// Whose arguments go into headers; `None` for a tool of which nothing of the kind is known.
    pub(super) fn of(&self, tool: &str) -> Option<Arc<ParamHeaders>> {
        self.known.load().learnt.annotated.get(tool).cloned()
    }
}

/// The annotations of a tool; one without an input schema has none.
fn read(item: &Item) -> Result<ParamHeaders, InvalidAnnotation> {
    ParamHeaders::read(item.input_schema().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tools: &[(&str, &str)]) -> Vec<Item> {
        let item = |(name, annotation): &(&str, &str)| {
            let text = format!(
                r#"{{"name":"{name}","inputSchema":{{"properties":{{"p":{{"type":"string"{annotation}}}}}}}}}"#
            );
            Item::read(text.into(), "name").unwrap()
        };
        tools.iter().map(item).collect()
    }

    fn names(items: &[Item]) -> Vec<&str> {
        items.iter().map(Item::name).collect()
    }

    const VALID: &str = r#","x-mcp-header":"P""#;
    const INVALID: &str = r#","x-mcp-header":"a b""#;

    #[test]
    fn over_http_an_invalid_tool_is_left_out_until_it_is_mended() {
        let tools = ToolHeaders::new(true, watch::Sender::default());
        let listed = list(&[("plain", ""), ("good", VALID), ("bad", INVALID)]);
        let offered = tools.learn("s", listed, Changes::default());
        assert_eq!(names(&offered), ["plain", "good"]);
        assert!(tools.of("good").is_some() && tools.of("plain").is_none());
        assert!(tools.refusal("bad").is_some() && tools.refusal("good").is_none());
        let mended = tools.learn("s", list(&[("bad", VALID)]), Changes::default());
        assert_eq!(names(&mended), ["bad"]);
        assert!(tools.refusal("bad").is_none() && tools.of("bad").is_some());
        assert!(
            tools.of("good").is_none(),
            "what is not listed is not known"
        );
    }

    #[test]
    fn what_was_learnt_from_a_list_goes_with_it_to_others_who_see_it() {
        let changes = watch::Sender::default();
        let of_one = ToolHeaders::new(true, changes.clone());
        let listed = list(&[("good", VALID), ("bad", INVALID)]);
        of_one.learn("s", listed, Changes::default());
        let of_other = ToolHeaders::new(true, changes.clone());
        of_other.adopt(&of_one.learnt(), of_other.now());
        assert!(of_other.is_current());
        assert!(of_other.of("good").is_some() && of_other.refusal("bad").is_some());
    }

    #[test]
    fn elsewhere_an_invalid_tool_is_one_without_annotations() {
        let tools = ToolHeaders::new(false, watch::Sender::default());
        let offered = tools.learn("s", list(&[("bad", INVALID)]), Changes::default());
        assert_eq!(names(&offered), ["bad"]);
        assert!(tools.refusal("bad").is_none() && tools.of("bad").is_none());
    }

    #[test]
    fn is_current_until_the_tools_change_or_a_call_shows_otherwise() {
        let counts = watch::Sender::new(Changes::default());
        let tools = ToolHeaders::new(true, counts.clone());
        assert!(!tools.is_current());
        tools.learn("s", list(&[("good", VALID)]), tools.now());
        assert!(Changes::count(
            &counts,
            Some("notifications/prompts/list_changed")
        ));
        assert!(tools.is_current());
        tools.distrust();
        assert!(!tools.is_current());
        assert!(
            tools.of("good").is_some(),
            "if the list cannot be had, what was known is all there is"
        );
        tools.learn("s", list(&[]), tools.now());
        assert!(Changes::count(
            &counts,
            Some("notifications/tools/list_changed")
        ));
        assert!(!tools.is_current());
    }
}
