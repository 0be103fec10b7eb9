//! The suite of `PolicyEvaluator`.

use std::sync::Arc;

use gateway_core::plugin::{Action, Decision, ItemKind, PluginKind, PolicyEvaluator};
use gateway_core::{Principal, ServerName};

use super::probe::{self, CROWD, context, late_context};
use super::report::{Outcome, Report, Unmet, ensure, failed};

/// As many actions as the list of a large server has tools.
const MANY: usize = 1000;

/// What an evaluator was set up with.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What it allows.
    pub allowed: Vec<Access>,
    /// What it denies.
    pub denied: Vec<Access>,
}

/// Somebody's wish to do something.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who.
    pub principal: Principal,
    /// On which configured server.
    pub server: ServerName,
    /// By which MCP method.
    pub method: String,
    /// With what kind of item.
    pub kind: ItemKind,
    /// The item's original name or URI.
    pub name: String,
}

impl Access {
    fn action(&self) -> Action<'_> {
        Action {
            server: &self.server,
            method: &self.method,
            kind: self.kind,
            name: &self.name,
        }
    }
}

/// Runs the suite.
pub async fn policy_evaluator(evaluator: Arc<dyn PolicyEvaluator>, rules: Rules) -> Report {
    let mut report = Report::new(PluginKind::PolicyEvaluator);
    let rules = Arc::new(rules);
    let subject = || Subject {
        evaluator: Arc::clone(&evaluator),
        rules: Arc::clone(&rules),
    };
    report
        .case("decides_each_known_case", subject().decides_each())
        .await;
    report
        .case(
            "gives_no_decision_on_no_action",
            subject().decides_nothing(),
        )
        .await;
    report
        .case(
            "gives_one_decision_for_each_action_in_order",
            subject().decides_many(),
        )
        .await;
    report
        .case(
            "keeps_callers_apart_who_ask_at_once",
            subject().keeps_apart(),
        )
        .await;
    report
        .case("answers_hostile_names", subject().survives_hostile())
        .await;
    report
        .case("is_usable_after_dropped_calls", subject().survives_drops())
        .await;
    report
        .case(
            "returns_when_the_deadline_has_passed",
            subject().returns_late(),
        )
        .await;
    report
}

#[derive(Clone)]
struct Subject {
    evaluator: Arc<dyn PolicyEvaluator>,
    rules: Arc<Rules>,
}

impl Subject {
    /// The known cases with what is due, allowed and denied taking turns.
    fn cases(&self) -> impl Iterator<Item = (&Access, bool)> {
        let longer = self.rules.allowed.len().max(self.rules.denied.len());
        (0..longer).flat_map(|index| {
            let allowed = self.rules.allowed.get(index).map(|access| (access, true));
            let denied = self.rules.denied.get(index).map(|access| (access, false));
            allowed.into_iter().chain(denied)
        })
    }

    fn has_cases(&self) -> Outcome {
        match self.cases().next() {
            Some(_) => Ok(()),
            None => Err(Unmet::NotApplicable(
                "nothing is known that it allows or denies",
            )),
        }
    }

    async fn decides_each(self) -> Outcome {
        self.decides_each_from(0).await
    }

    /// The known cases, each once, beginning with another.
    async fn decides_each_from(self, begin: usize) -> Outcome {
        self.has_cases()?;
        let cases: Vec<_> = self.cases().collect();
        for (access, allowed) in cases.iter().copied().cycle().skip(begin).take(cases.len()) {
            let actions = [access.action()];
            let decisions = self
                .evaluator
                .check_access(&context(), &access.principal, &actions)
                .await?;
            hold(&[(access, allowed)], &decisions)?;
        }
        Ok(())
    }

    async fn decides_nothing(self) -> Outcome {
        let nobody = Principal::named(probe::unique_user()?);
        let decisions = self
            .evaluator
            .check_access(&context(), &nobody, &[])
            .await?;
        ensure(decisions.is_empty(), || {
            format!("{} decisions on no action", decisions.len())
        })
    }

    /// For each principal, its known cases over and over.
    async fn decides_many(self) -> Outcome {
        self.has_cases()?;
        for (asking, _) in self.cases() {
            let own: Vec<_> = self
                .cases()
                .filter(|(other, _)| other.principal == asking.principal)
                .collect();
            let cases: Vec<_> = own.iter().copied().cycle().take(MANY).collect();
            let actions: Vec<_> = cases.iter().map(|(access, _)| access.action()).collect();
            let decisions = self
                .evaluator
                .check_access(&context(), &asking.principal, &actions)
                .await?;
            hold(&cases, &decisions)?;
        }
        Ok(())
    }

    async fn keeps_apart(self) -> Outcome {
        self.has_cases()?;
        // Everyone begins elsewhere: who gets another's answer shows.
        probe::all_at_once((0..CROWD).map(|begin| self.clone().decides_each_from(begin))).await
    }

    /// Whether it allows, denies or fails is its own affair; it must answer each.
    async fn survives_hostile(self) -> Outcome {
        let nobody = Principal::named(probe::unique_user()?);
        let server = probe::named("suite")?;
        for name in [
            "",
            "a\0b",
            "a\r\nb",
            "*",
            "../..",
            "\u{202e}",
            &"x".repeat(1 << 16),
        ] {
            let action = Action {
                server: &server,
                method: "tools/call",
                kind: ItemKind::Tool,
                name,
            };
            if let Ok(decisions) = self
                .evaluator
                .check_access(&context(), &nobody, &[action])
                .await
            {
                ensure(decisions.len() == 1, || {
                    format!("{} decisions on one action", decisions.len())
                })?;
            }
        }
        Ok(())
    }

    async fn survives_drops(self) -> Outcome {
        let context = context();
        for (access, _) in self.cases() {
            let actions = [access.action()];
            let call = || {
                self.evaluator
                    .check_access(&context, &access.principal, &actions)
            };
            probe::drop_halfway(call).await;
        }
        if self.has_cases().is_err() {
            return self.survives_hostile().await;
        }
        self.decides_each().await
    }

    async fn returns_late(self) -> Outcome {
        let context = late_context();
        let server = probe::named("suite")?;
        let nobody = Principal::named(probe::unique_user()?);
        let action = Action {
            server: &server,
            method: "tools/call",
            kind: ItemKind::Tool,
            name: "late",
        };
        probe::returns_late(self.evaluator.check_access(&context, &nobody, &[action])).await
    }
}

/// Holds decisions to what is due.
fn hold(cases: &[(&Access, bool)], decisions: &[Decision]) -> Outcome {
    ensure(decisions.len() == cases.len(), || {
        format!("{} decisions on {} actions", decisions.len(), cases.len())
    })?;
    for ((access, allowed), decision) in cases.iter().zip(decisions) {
        let Access { server, name, .. } = access;
        match (decision, allowed) {
            (Decision::Allow, false) => return failed(format!("allows `{name}` of `{server}`")),
            (Decision::Deny { reason }, true) => {
                return failed(format!("denies `{name}` of `{server}`: {reason}"));
            }
            (Decision::Deny { reason }, false) if reason.is_empty() => {
                return failed(format!("denies `{name}` of `{server}` without a reason"));
            }
            _ => {}
        }
    }
    Ok(())
}
