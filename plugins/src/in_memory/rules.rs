//! Policy `rules`: the first rule that fits decides; what no rule fits is denied.

use async_trait::async_trait;
use gateway_core::config::{Settings, Violation};
use gateway_core::plugin::{Action, Decision, ItemKind, PolicyEvaluator};
use gateway_core::{CallContext, Pattern, PluginError, Principal};
use serde::Deserialize;

use crate::settings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesSettings {
    #[serde(default)]
    rules: Vec<RuleEntry>,
}

/// One rule as it is written. A condition that is left out always holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: Option<String>,
    effect: Effect,
    users: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    servers: Option<Vec<String>>,
    kinds: Option<Vec<Kind>>,
    names: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Tool,
    Prompt,
    Resource,
    ResourceTemplate,
    Task,
}

impl From<Kind> for ItemKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Tool => Self::Tool,
            Kind::Prompt => Self::Prompt,
            Kind::Resource => Self::Resource,
            Kind::ResourceTemplate => Self::ResourceTemplate,
            Kind::Task => Self::Task,
        }
    }
}

/// The rules of a tenant, in the order in which they are tried.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// What its decisions call it.
    name: String,
    effect: Effect,
    users: Patterns,
    roles: Patterns,
    groups: Patterns,
    servers: Patterns,
    kinds: Option<Vec<ItemKind>>,
    names: Patterns,
}

/// A condition on a text; `None` always holds.
#[derive(Debug)]
struct Patterns(Option<Vec<Pattern>>);

impl Patterns {
    fn new(texts: Option<Vec<String>>) -> Self {
        Self(texts.map(|texts| texts.into_iter().map(Pattern::new).collect()))
    }

    /// Whether one of the texts fits one of the patterns.
    fn fit_any<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let Some(patterns) = &self.0 else { return true };
        let mut texts = texts.into_iter();
        texts.any(|text| patterns.iter().any(|pattern| pattern.matches(text)))
    }
}

impl Rules {
    /// Reads the rules that the settings list, or says everything that is wrong with them.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Vec<Violation>> {
        let RulesSettings { rules } = settings::read(settings)?;
        let violations: Vec<_> = rules
            .iter()
            .enumerate()
            .flat_map(|(index, rule)| rule.empty_conditions(index))
            .collect();
        if !violations.is_empty() {
            return Err(violations);
        }
        let rules = rules.into_iter().enumerate();
        Ok(Self {
            rules: rules
                .map(|(index, entry)| Rule::new(index, entry))
                .collect(),
        })
    }

    fn decide(for_caller: &[&Rule], action: &Action<'_>) -> Decision {
        let denied = |reason| Decision::Deny { reason };
        match for_caller.iter().find(|rule| rule.fits_item(action)) {
            Some(rule) if rule.effect == Effect::Allow => Decision::Allow,
            Some(rule) => denied(format!("{} denies it", rule.name)),
            None => denied("no rule allows it".to_owned()),
        }
    }
}

impl RuleEntry {
    /// A list without entries fits nothing, so the rule would never apply: a slip, and in a rule
    /// that denies a dangerous one.
    fn empty_conditions(&self, index: usize) -> Vec<Violation> {
        let texts = [
            ("users", &self.users),
            ("roles", &self.roles),
            ("groups", &self.groups),
            ("servers", &self.servers),
            ("names", &self.names),
        ];
        let texts = texts.map(|(field, list)| (field, list.as_ref().map(Vec::len)));
        let kinds = ("kinds", self.kinds.as_ref().map(Vec::len));
        let empty = texts.into_iter().chain([kinds]);
        empty
            .filter(|(_, length)| *length == Some(0))
            .map(|(field, _)| {
                let reason = "is empty, so that the rule would never apply: list something, or leave it out for everything";
                Violation::new(format!("rules[{index}].{field}"), reason)
            })
            .collect()
    }
}

impl Rule {
    fn new(index: usize, entry: RuleEntry) -> Self {
        let kinds = entry
            .kinds
            .map(|kinds| kinds.into_iter().map(Into::into).collect());
        Self {
            name: match entry.name {
                Some(name) => format!("rule `{name}`"),
                // As the field paths of the configuration count.
                None => format!("rules[{index}]"),
            },
            effect: entry.effect,
            users: Patterns::new(entry.users),
            roles: Patterns::new(entry.roles),
            groups: Patterns::new(entry.groups),
            servers: Patterns::new(entry.servers),
            kinds,
            names: Patterns::new(entry.names),
        }
    }

    fn fits_caller(&self, principal: &Principal) -> bool {
        self.users.fit_any([principal.user_id.as_str()])
            && self
                .roles
                .fit_any(principal.roles.iter().map(String::as_str))
            && self
                .groups
                .fit_any(principal.groups.iter().map(String::as_str))
    }

    fn fits_item(&self, action: &Action<'_>) -> bool {
        let kind_fits = self
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&action.kind));
        kind_fits
            && self.servers.fit_any([action.server.as_str()])
            && self.names.fit_any([action.name])
    }
}

#[async_trait]
impl PolicyEvaluator for Rules {
    async fn check_access(
        &self,
        _context: &CallContext,
        principal: &Principal,
        actions: &[Action<'_>],
    ) -> Result<Vec<Decision>, PluginError> {
        let rules = self.rules.iter();
        let for_caller: Vec<_> = rules.filter(|rule| rule.fits_caller(principal)).collect();
        let decisions = actions
            .iter()
            .map(|action| Self::decide(&for_caller, action));
        Ok(decisions.collect())
    }
}

#[cfg(test)]
mod tests;
