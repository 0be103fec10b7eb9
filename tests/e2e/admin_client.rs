//! An administrator who speaks gRPC with one control plane.

use anyhow::Result;
use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::admin_client::AdminClient;
use gateway_proto::admin::v1::apply_tenant_request::Document;
use gateway_tests::planes::{ControlPlane, admin_token};
use serde_json::Value;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) client: AdminClient<Channel>,
    bearer: AsciiMetadataValue,
}

impl Admin {
    pub(crate) async fn at(plane: &ControlPlane) -> Result<Self> {
        Ok(Self {
            client: AdminClient::connect(plane.url()).await?,
            bearer: format!("Bearer {}", admin_token()).parse()?,
        })
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.bearer.clone());
        request
    }

    /// Applies a document on top of the revision that `etag` is of, and gives the revision that it is.
    pub(crate) async fn apply(&mut self, document: &Value, etag: String) -> Result<u64, Status> {
        let request = self.request(pb::ApplyTenantRequest {
            document: Some(Document::Yaml(document.to_string())),
            etag,
            ..Default::default()
        });
        let applied = self.client.apply_tenant(request).await?.into_inner();
        Ok(applied.revision)
    }
}
