//! An edit of a tenant's document that is based on what is current, and refused where that has
//! changed since.

use gateway_core::TenantId;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::apply_tenant_request::Document;

use super::client::{Client, ServerArgs, failure};
use crate::config_edit::Edited;
use crate::exit::{Failure, note};
use crate::process;

/// A tenant's document that is about to be edited.
pub(crate) struct TenantEdit {
    server: ServerArgs,
    tenant: TenantId,
    etag: String,
    edited: Edited,
}

impl TenantEdit {
    /// Reads what is current.
    pub(crate) fn open(server: ServerArgs, tenant: &TenantId) -> Result<Self, Failure> {
        let name = format!("tenants/{tenant}");
        let request = pb::GetTenantRequest { name };
        let found = process::block_on(async {
            let mut client: Client = server.client()?;
            let found = client.get_tenant(request).await;
            Ok(found.map_err(|status| failure(&status))?.into_inner())
        })?;
        Ok(Self {
            server,
            tenant: tenant.clone(),
            etag: found.etag,
            edited: Edited::new(format!("tenant {tenant}"), found.submitted)?,
        })
    }

    pub(crate) fn edited(&mut self) -> &mut Edited {
        &mut self.edited
    }

    /// Makes the edited document current.
    pub(crate) fn save(&self, reason: &str) -> Result<(), Failure> {
        let tenant = &self.tenant;
        let request = pb::ApplyTenantRequest {
            name: format!("tenants/{tenant}"),
            document: Some(Document::Yaml(self.edited.text().to_owned())),
            etag: self.etag.clone(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let made = process::block_on(async {
            let applied = self.server.client()?.apply_tenant(request).await;
            Ok(applied.map_err(|status| failure(&status))?.into_inner())
        })?;
        note(&format!("{tenant}: revision {}", made.revision));
        Ok(())
    }
}
