//! The methods of the service, which differ in their types alone.

use gateway_proto::admin::v1 as pb;
use gateway_proto::admin::v1::resources_server::Resources;
use tonic::{Request, Response, Status};

use super::Around;
use crate::grpc::admin::Service;
use crate::grpc::admin::query::Asked;
use crate::grpc::admin::replay::Asking;
use crate::grpc::admin::trail::{Call, Done};
use crate::grpc::admission::Presented;

#[tonic::async_trait]
impl Resources for Service {
    async fn get_server(
        &self,
        request: Request<pb::GetServerRequest>,
    ) -> Result<Response<pb::Server>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetServer", &request.name);
        self.run(&presented, call, |caller| self.part(&request.name, caller))
            .await
    }

    async fn list_servers(
        &self,
        request: Request<pb::ListServersRequest>,
    ) -> Result<Response<pb::ListServersResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListServers", &request.parent);
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let list = |caller| async {
            let page = self.parts(&request.parent, request.page_size, asked, caller);
            let (servers, next_page_token) = page.await?;
            Ok(Done::read(pb::ListServersResponse {
                servers,
                next_page_token,
            }))
        };
        self.run(&presented, call, list).await
    }

    async fn create_server(
        &self,
        request: Request<pb::CreateServerRequest>,
    ) -> Result<Response<pb::Server>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("CreateServer", &request, &request.request_id);
        let pb::CreateServerRequest {
            parent,
            server_id,
            server,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let target = format!("{parent}/servers/{server_id}");
        let call = Call::new("CreateServer", &target).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let create = |caller| self.create(parent, server_id, server, around, caller);
        self.run(&presented, call, create).await
    }

    async fn update_server(
        &self,
        request: Request<pb::UpdateServerRequest>,
    ) -> Result<Response<pb::Server>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("UpdateServer", &request, &request.request_id);
        let pb::UpdateServerRequest {
            server,
            update_mask,
            allow_missing,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let target = server.as_ref().map_or("", |server| &server.name);
        let call = Call::new("UpdateServer", target).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let update = |caller| self.update(server, update_mask, allow_missing, around, caller);
        self.run(&presented, call, update).await
    }

    async fn delete_server(
        &self,
        request: Request<pb::DeleteServerRequest>,
    ) -> Result<Response<()>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("DeleteServer", &request, &request.request_id);
        let pb::DeleteServerRequest {
            name,
            etag,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let call = Call::new("DeleteServer", &name).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let delete = |caller| self.delete_part::<pb::Server>(name, etag, around, caller);
        self.run(&presented, call, delete).await
    }

    async fn get_profile(
        &self,
        request: Request<pb::GetProfileRequest>,
    ) -> Result<Response<pb::Profile>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetProfile", &request.name);
        self.run(&presented, call, |caller| self.part(&request.name, caller))
            .await
    }

    async fn list_profiles(
        &self,
        request: Request<pb::ListProfilesRequest>,
    ) -> Result<Response<pb::ListProfilesResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListProfiles", &request.parent);
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let list = |caller| async {
            let page = self.parts(&request.parent, request.page_size, asked, caller);
            let (profiles, next_page_token) = page.await?;
            Ok(Done::read(pb::ListProfilesResponse {
                profiles,
                next_page_token,
            }))
        };
        self.run(&presented, call, list).await
    }

    async fn create_profile(
        &self,
        request: Request<pb::CreateProfileRequest>,
    ) -> Result<Response<pb::Profile>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("CreateProfile", &request, &request.request_id);
        let pb::CreateProfileRequest {
            parent,
            profile_id,
            profile,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let target = format!("{parent}/profiles/{profile_id}");
        let call = Call::new("CreateProfile", &target).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let create = |caller| self.create(parent, profile_id, profile, around, caller);
        self.run(&presented, call, create).await
    }

    async fn update_profile(
        &self,
        request: Request<pb::UpdateProfileRequest>,
    ) -> Result<Response<pb::Profile>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("UpdateProfile", &request, &request.request_id);
        let pb::UpdateProfileRequest {
            profile,
            update_mask,
            allow_missing,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let target = profile.as_ref().map_or("", |profile| &profile.name);
        let call = Call::new("UpdateProfile", target).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let update = |caller| self.update(profile, update_mask, allow_missing, around, caller);
        self.run(&presented, call, update).await
    }

    async fn delete_profile(
        &self,
        request: Request<pb::DeleteProfileRequest>,
    ) -> Result<Response<()>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("DeleteProfile", &request, &request.request_id);
        let pb::DeleteProfileRequest {
            name,
            etag,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let call = Call::new("DeleteProfile", &name).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let delete = |caller| self.delete_part::<pb::Profile>(name, etag, around, caller);
        self.run(&presented, call, delete).await
    }

    async fn get_plugin(
        &self,
        request: Request<pb::GetPluginRequest>,
    ) -> Result<Response<pb::Plugin>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("GetPlugin", &request.name);
        self.run(&presented, call, |caller| self.part(&request.name, caller))
            .await
    }

    async fn list_plugins(
        &self,
        request: Request<pb::ListPluginsRequest>,
    ) -> Result<Response<pb::ListPluginsResponse>, Status> {
        let (presented, request) = Presented::with(request);
        let call = Call::new("ListPlugins", &request.parent);
        let asked = Asked {
            filter: &request.filter,
            order_by: &request.order_by,
            page_token: &request.page_token,
        };
        let list = |caller| async {
            let page = self.parts(&request.parent, request.page_size, asked, caller);
            let (plugins, next_page_token) = page.await?;
            Ok(Done::read(pb::ListPluginsResponse {
                plugins,
                next_page_token,
            }))
        };
        self.run(&presented, call, list).await
    }

    async fn create_plugin(
        &self,
        request: Request<pb::CreatePluginRequest>,
    ) -> Result<Response<pb::Plugin>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("CreatePlugin", &request, &request.request_id);
        let pb::CreatePluginRequest {
            parent,
            plugin_id,
            plugin,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let target = format!("{parent}/plugins/{plugin_id}");
        let call = Call::new("CreatePlugin", &target).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let create = |caller| self.create(parent, plugin_id, plugin, around, caller);
        self.run(&presented, call, create).await
    }

    async fn update_plugin(
        &self,
        request: Request<pb::UpdatePluginRequest>,
    ) -> Result<Response<pb::Plugin>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("UpdatePlugin", &request, &request.request_id);
        let pb::UpdatePluginRequest {
            plugin,
            update_mask,
            allow_missing,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let target = plugin.as_ref().map_or("", |plugin| &plugin.name);
        let call = Call::new("UpdatePlugin", target).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let update = |caller| self.update(plugin, update_mask, allow_missing, around, caller);
        self.run(&presented, call, update).await
    }

    async fn delete_plugin(
        &self,
        request: Request<pb::DeletePluginRequest>,
    ) -> Result<Response<()>, Status> {
        let (presented, request) = Presented::with(request);
        let asking = Asking::of("DeletePlugin", &request, &request.request_id);
        let pb::DeletePluginRequest {
            name,
            etag,
            validate_only,
            reason,
            request_id: _,
        } = request;
        let call = Call::new("DeletePlugin", &name).because(&reason);
        let around = Around {
            validate_only,
            reason,
            asking,
        };
        let delete = |caller| self.delete_part::<pb::Plugin>(name, etag, around, caller);
        self.run(&presented, call, delete).await
    }
}
