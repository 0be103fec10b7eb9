//! Why a call is refused, as a `google.rpc.Status` with what is wrong where.

use std::error::Error;

use gateway_core::config::Violation;
use gateway_core::{Revision, TenantId};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::ApplyError;
use crate::store::StoreError;

/// One field of the request is wrong.
pub(super) fn field(name: &str, reason: impl Into<String>) -> Status {
    fields(vec![Violation::new(name, reason)])
}

/// Fields are wrong, of the request or of the document in it.
pub(super) fn fields(violations: Vec<Violation>) -> Status {
    let message = match violations.as_slice() {
        [Violation { path, reason }] => format!("{path}: {reason}"),
        several => format!("{} things are wrong with the request", several.len()),
    };
    let fields = violations.into_iter().map(|violation| {
        let Violation { path, reason } = violation;
        FieldViolation::new(path, reason)
    });
    let details = ErrorDetails::with_bad_request(fields.collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

pub(super) fn no_tenant(tenant: &TenantId) -> Status {
    Status::not_found(format!("there is no tenant `{tenant}`"))
}

pub(super) fn no_revision(tenant: &TenantId, revision: Revision) -> Status {
    Status::not_found(format!("tenant {tenant} has no revision {revision}"))
}

pub(super) fn store(error: StoreError) -> Status {
    log(&error);
    Status::unavailable(error.to_string())
}

pub(super) fn apply(error: ApplyError) -> Status {
    match error {
        ApplyError::Invalid(violations) => fields(violations),
        ApplyError::Conflict { .. } | ApplyError::Repeated => Status::aborted(error.to_string()),
        ApplyError::NoTenant { tenant } => no_tenant(&tenant),
        ApplyError::NoRollout { .. } | ApplyError::NotHalted { .. } => {
            Status::failed_precondition(error.to_string())
        }
        ApplyError::NotFound { tenant, revision } => no_revision(&tenant, revision),
        ApplyError::Store(_) | ApplyError::Unpublished(_) | ApplyError::Interrupted { .. } => {
            log(&error);
            Status::unavailable(error.to_string())
        }
    }
}

/// The cause is for the operator of the control plane only.
fn log(error: &dyn Error) {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(%error, cause, "a call failed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_names_its_field() {
        let status = fields(vec![
            Violation::new("servers.a.command", "is missing"),
            Violation::new("profiles.dev.servers[0]", "there is no server `b`"),
        ]);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let found = &details.bad_request().unwrap().field_violations;
        let found: Vec<_> = found
            .iter()
            .map(|one| (&*one.field, &*one.description))
            .collect();
        assert_eq!(
            found,
            [
                ("servers.a.command", "is missing"),
                ("profiles.dev.servers[0]", "there is no server `b`"),
            ]
        );
    }

    #[test]
    fn each_failure_has_its_code() {
        let tenant = TenantId::default_tenant();
        let conflict = ApplyError::Conflict {
            tenant: tenant.clone(),
            current: None,
        };
        assert_eq!(apply(conflict).code(), Code::Aborted);
        let missing = ApplyError::NotFound {
            tenant,
            revision: Revision(3),
        };
        assert_eq!(apply(missing).code(), Code::NotFound);
    }
}
