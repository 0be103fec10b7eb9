//! A profile's filters and renames, compiled.

use std::collections::BTreeMap;

use gateway_core::config::ToolFilter;
use gateway_core::{ExposedName, Pattern, SEPARATOR, ServerName};

/// Which tools a profile shows, and which have other names there.
#[derive(Debug)]
pub(crate) struct Profile {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
    /// `server__name` to the profile's name.
    renames: BTreeMap<String, String>,
    /// The other way round.
    originals: BTreeMap<String, (ServerName, String)>,
}

impl Profile {
    pub(crate) fn new(filter: &ToolFilter) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(Pattern::new).collect();
        let originals = filter.rename.iter().filter_map(|(from, to)| {
            let (server, name) = ExposedName::split(from)?;
            Some((to.clone(), (server, name.to_owned())))
        });
        Self {
            allow: patterns(&filter.allow),
            deny: patterns(&filter.deny),
            renames: filter.rename.clone(),
            originals: originals.collect(),
        }
    }

    /// Whether a tool passes the filters. They see `server__name`, whatever it is renamed to.
    pub(super) fn shows(&self, server: &ServerName, name: &str) -> bool {
        let full = format!("{server}{SEPARATOR}{name}");
        let allowed = self.allow.is_empty() || self.allow.iter().any(|p| p.matches(&full));
        allowed && !self.deny.iter().any(|pattern| pattern.matches(&full))
    }

    /// The profile's own name for a tool, where it has one.
    pub(super) fn renamed(&self, server: &ServerName, name: &str) -> Option<&str> {
        self.renames
            .get(&format!("{server}{SEPARATOR}{name}"))
            .map(String::as_str)
    }

    /// The tool that has this name by a rename, if it is shown.
    pub(super) fn original(&self, renamed: &str) -> Option<(&ServerName, &str)> {
        let (server, name) = self.originals.get(renamed)?;
        self.shows(server, name).then_some((server, name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile::new(&ToolFilter {
            allow: vec!["github__*".into()],
            deny: vec!["*__delete_*".into()],
            rename: BTreeMap::from([
                ("github__search_code".into(), "search".into()),
                ("github__delete_all".into(), "clean".into()),
            ]),
        })
    }

    #[test]
    fn a_denied_tool_is_not_shown_under_another_name_either() {
        let (profile, github) = (profile(), "github".parse().unwrap());
        assert!(profile.shows(&github, "search_code"));
        assert!(!profile.shows(&github, "delete_all"));
        assert!(!profile.shows(&"files".parse().unwrap(), "read"));
        assert_eq!(profile.original("search"), Some((&github, "search_code")));
        assert_eq!(profile.original("clean"), None);
    }
}
