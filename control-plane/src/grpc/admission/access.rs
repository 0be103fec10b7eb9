//! What a role may do: the one place that says so.

use gateway_core::TenantId;
use tonic::Status;

use super::Caller;
use crate::token::Role;

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grpc) enum Power {
    /// To see what there is.
    Read,
    /// To change what is there.
    Change,
    /// To make what is not there, or to take away what is.
    Govern,
}

impl Caller {
    /// Refuses a call for which the caller's role is too weak. What belongs to another tenant, or to
    /// none, is not there for a tenant's roles: asked before anything is looked up, `missing` is what
    /// they are told, whether or not it is there.
    pub(in crate::grpc) fn may(
        &self,
        power: Power,
        tenant: Option<&TenantId>,
        missing: impl FnOnce() -> Status,
    ) -> Result<(), Status> {
        match &self.role {
            Role::Administrator => Ok(()),
            Role::TenantAdministrator(own) if tenant == Some(own) => match power {
                Power::Read | Power::Change => Ok(()),
                Power::Govern => Err(Status::permission_denied(
                    "tenants are made and deleted by administrators, not by their own",
                )),
            },
            Role::TenantViewer(own) if tenant == Some(own) => match power {
                Power::Read => Ok(()),
                Power::Change | Power::Govern => Err(Status::permission_denied(
                    "a tenant viewer may look, and change nothing",
                )),
            },
            Role::TenantAdministrator(_) | Role::TenantViewer(_) | Role::Join(_) => Err(missing()),
        }
    }

    /// The one tenant of which lists show something; `None`: of all.
    pub(in crate::grpc) fn only_tenant(&self) -> Option<&TenantId> {
        self.role.tenant()
    }

    /// Whether a tenant may be made by it where there is none.
    pub(in crate::grpc) fn may_make_tenants(&self) -> bool {
        self.role == Role::Administrator
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::token::Scope;

    #[test]
    fn each_role_may_do_what_it_is_for() {
        use Power::{Change, Govern, Read};
        let acme: TenantId = "acme".parse().unwrap();
        let zoo: TenantId = "zoo".parse().unwrap();
        let outcome = |role: &Role, power, tenant: Option<&TenantId>| {
            let caller = Caller {
                name: "somebody".to_owned(),
                role: role.clone(),
                kept: None,
            };
            let missing = || Status::not_found("there is none");
            let refused = caller.may(power, tenant, missing).err();
            refused.map_or(Code::Ok, |status| status.code())
        };
        let administrator = Role::TenantAdministrator(acme.clone());
        let viewer = Role::TenantViewer(acme.clone());
        let limited = Scope::only([acme.clone()].into()).unwrap();
        let denied = Code::PermissionDenied;
        for (role, own) in [
            (Role::Administrator, [Code::Ok; 3]),
            (administrator, [Code::Ok, Code::Ok, denied]),
            (viewer, [Code::Ok, denied, denied]),
            (Role::Join(Scope::all()), [Code::NotFound; 3]),
            (Role::Join(limited), [Code::NotFound; 3]),
        ] {
            let others = match role {
                Role::Administrator => Code::Ok,
                _ => Code::NotFound,
            };
            for (power, own) in [Read, Change, Govern].into_iter().zip(own) {
                assert_eq!(outcome(&role, power, Some(&acme)), own, "{role} {power:?}");
                for tenant in [Some(&zoo), None] {
                    assert_eq!(outcome(&role, power, tenant), others, "{role} {power:?}");
                }
            }
        }
    }
}
