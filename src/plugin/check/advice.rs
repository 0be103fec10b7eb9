//! What to do where a case failed, and what to give where it could not be judged.

use gateway_core::plugin::PluginKind;
use gateway_plugins::suite::Verdict;

use super::result::{Case, Part};

/// Where everything about plugins is written.
const GUIDE: &str = "docs/write-a-plugin.md";

/// What a plugin's author can do about a case that did not pass.
pub(super) fn advice(kind: PluginKind, case: &Case) -> Option<String> {
    match &case.finding.verdict {
        Verdict::Passed => None,
        Verdict::NotApplicable(_) if case.part == Part::Protocol => None,
        Verdict::NotApplicable(_) => flag(kind, case.finding.case).map(str::to_owned),
        Verdict::Failed(_) => {
            let known = mend(case.finding.case).map(str::to_owned);
            Some(known.unwrap_or_else(|| format!("see what the contract says: {GUIDE}")))
        }
    }
}

/// What would let a case be judged.
fn flag(kind: PluginKind, case: &str) -> Option<&'static str> {
    let is_about_refusals = case.starts_with("refuses");
    Some(match kind {
        PluginKind::AuthProvider if case.starts_with("knows") => {
            "give --accept TYPE=VALUE:USER, where VALUE may be env:NAME"
        }
        PluginKind::AuthProvider => "give --reject TYPE=VALUE",
        PluginKind::PolicyEvaluator => "give --allow USER:SERVER:TOOL and --deny USER:SERVER:TOOL",
        PluginKind::AuthProxy => "give --inject USER:SERVER:HEADER=VALUE",
        PluginKind::AuditSink => "give --audit-file FILE",
        PluginKind::McpProvisioner if is_about_refusals => "give `cannot_run` in the file of -f",
        PluginKind::McpProvisioner => "give `can_run` in the file of -f",
        PluginKind::CredentialStorage | PluginKind::Telemetry => return None,
    })
    .filter(|_| !NEVER.contains(&case))
}

/// Cases that no flag would let be judged.
const NEVER: [&str; 1] = ["does_what_its_kind_is_for"];

fn mend(case: &str) -> Option<&'static str> {
    Some(match case {
        "speaks_this_version" => "use an SDK that speaks it, or leave --era out",
        "lists_the_tools_of_its_kind" => "add the tools, under exactly these names",
        "takes_the_arguments_of_the_contract" => {
            "let the input schema take these arguments, and others beside them: later versions send more"
        }
        "answers_each_tool_in_time" => {
            "answer each call, at the latest when the gateway's `timeout` ends (5s unless configured); refuse \
             with isError what cannot be done"
        }
        "gives_results_in_the_form_of_its_schemas" => {
            "give structuredContent that fits the outputSchema, and the same as text in `content`"
        }
        "refuses_bad_arguments" => {
            "check arguments before using them, and answer with isError or a JSON-RPC error"
        }
        "repeats_no_secret_in_errors" | "answers_hostile_credentials" => {
            "keep what was sent out of every error: say which argument is wrong, and never its value"
        }
        "rejects_bad_credentials_without_repeating_them" => {
            "answer with isError for a credential that is not good, without any part of it; where everybody is \
             to be let in, give --accepts-anything"
        }
        "refuses_a_tool_that_it_has_not" => "answer with a JSON-RPC error",
        "answers_calls_that_come_at_once" => {
            "serve calls beside each other, without waiting for the one before"
        }
        "stays_up_through_many_calls" => {
            "see what the server writes when it ends; it must not end by a call"
        }
        "knows_whose_each_good_credential_is" => {
            "answer with {\"user_id\": …} for a credential that is good"
        }
        "keeps_callers_apart_who_ask_at_once" | "keeps_users_apart_who_ask_at_once" => {
            "keep nothing of one call where another one sees it: no global or shared variables"
        }
        "is_usable_after_dropped_calls" => "let a cancelled call change nothing for the next one",
        "returns_when_the_deadline_has_passed" => "answer in time, whatever the plugin waits for",
        "decides_each_known_case" => {
            "answer with {\"allowed\": true} or {\"allowed\": false, \"reason\": …} as the rules say"
        }
        "gives_one_decision_for_each_action_in_order" => {
            "give `decisions` as many as `actions`, in the same order"
        }
        "stores_events_whole_and_once"
        | "takes_events_of_any_text_and_size"
        | "takes_several_events_in_order"
        | "keeps_events_whole_that_come_at_once" => {
            "write each event whole, on one line, before answering; one event at a time"
        }
        "says_not_found_without_a_credential" => {
            "answer with isError and {\"error\": {\"kind\": \"not_found\", \"message\": …}}"
        }
        "keeps_tenants_and_users_apart" | "keeps_tenants_apart" => {
            "make tenant_id and user_id a part of every key"
        }
        "refuses_to_store_where_nothing_is_kept" | "refuses_what_it_cannot_run" => {
            "answer with isError and {\"error\": {\"kind\": \"unsupported\", \"message\": …}}"
        }
        _ => return None,
    })
}
