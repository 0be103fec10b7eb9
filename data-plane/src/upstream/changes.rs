//! How often each of a server's lists has changed, for those who want to hear of it or keep a list.

use gateway_mcp::list::ListKind;
use tokio::sync::watch;

/// Counts changes; only differences mean anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    tools: u64,
    prompts: u64,
    resources: u64,
    /// Counts when the server began or ceased to be heard: what changed just before may have gone
    /// unnoticed. Nothing that clients are told of.
    gaps: u64,
    /// Whether a change would be heard of now.
    is_heard: bool,
}

/// What has been heard of changes of one list. Only whether two are equal means anything: if not,
/// the list may have changed between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    count: u64,
    gaps: u64,
}

impl Changes {
    /// Counts one for the list that a server's notification speaks of; `false` for any other
    /// notification.
    pub(super) fn count(counts: &watch::Sender<Self>, method: Option<&str>) -> bool {
        counts.send_if_modified(|counts| {
            let count = match method {
                Some("notifications/tools/list_changed") => &mut counts.tools,
                Some("notifications/prompts/list_changed") => &mut counts.prompts,
                Some("notifications/resources/list_changed") => &mut counts.resources,
                _ => return false,
            };
            *count = count.wrapping_add(1);
            true
        })
    }

    /// Counts one for every list: the server has come or gone, and is not heard yet or any more.
    pub(super) fn count_all(counts: &watch::Sender<Self>) {
        counts.send_modify(|counts| {
            counts.is_heard = false;
            for count in [
                &mut counts.tools,
                &mut counts.prompts,
                &mut counts.resources,
            ] {
                *count = count.wrapping_add(1);
            }
        });
    }

    /// Says whether changes are heard of from now on.
    pub(super) fn set_heard(counts: &watch::Sender<Self>, is_heard: bool) {
        counts.send_if_modified(|counts| {
            counts.gaps = counts.gaps.wrapping_add(1);
            counts.is_heard = is_heard;
            false
        });
    }

    pub(super) fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// What has been heard of changes of a list. Templates change with the resources.
    pub(super) fn stamp(&self, kind: ListKind) -> Stamp {
        let count = match kind {
            ListKind::Tools => self.tools,
            ListKind::Prompts => self.prompts,
            ListKind::Resources | ListKind::ResourceTemplates => self.resources,
        };
        Stamp {
            count,
            gaps: self.gaps,
        }
    }

    /// Whether the tools are what they were then.
    pub(super) fn has_same_tools(&self, then: Self) -> bool {
        self.tools == then.tools
    }

    /// The lists that have changed since then, by their keys.
    pub(crate) fn since(&self, before: &Self) -> Vec<&'static str> {
        let lists = [
            (ListKind::Tools, self.tools != before.tools),
            (ListKind::Prompts, self.prompts != before.prompts),
            (ListKind::Resources, self.resources != before.resources),
        ];
        lists
            .iter()
            .filter(|(_, changed)| *changed)
            .map(|(kind, _)| kind.key())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_lists_changed() {
        let counts = watch::Sender::new(Changes::default());
        let before = *counts.borrow();
        assert!(Changes::count(
            &counts,
            Some("notifications/prompts/list_changed")
        ));
        assert!(!Changes::count(&counts, Some("notifications/message")));
        assert_eq!(counts.borrow().since(&before), ["prompts"]);
        Changes::count_all(&counts);
        assert_eq!(
            counts.borrow().since(&before),
            ["tools", "prompts", "resources"]
        );
    }
}
