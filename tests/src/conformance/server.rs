//! The fixture as rmcp wants it: one handler for a session or a stateless request, around what all of them share.

#![expect(
    deprecated,
    reason = "logging and resources/subscribe are part of every legacy version"
)]

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
    CompleteResult, CompletionInfo, ErrorData, GetPromptRequestParams, GetPromptResponse,
    GetTaskParams, GetTaskResult, Implementation, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, LoggingLevel, PaginatedRequestParams, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities,
    ServerConfig, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cancellation::Cancellations;
use super::catalog::{Call, plain};
use super::changes::{ADDED_TOOL, Changes, Listener};
use super::mrtr::Seal;
use super::{
    callbacks, cancellation, changes, content, mrtr, notices, prompts, reconnection, resources,
    tasks,
};
use crate::fixture::Eras;

/// How long clients may keep what a list or a resource says, unless they hear of a change.
const FRESH_MS: u64 = 60_000;

/// What one client sees: a legacy session, or a single modern request.
#[derive(Debug)]
pub(super) struct Server {
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    log_level: watch::Sender<LoggingLevel>,
    /// Cancelled when this client is gone.
    gone: CancellationToken,
}

struct Shared {
    eras: Eras,
    tools: Vec<Tool>,
    changes: Changes,
    lists: Arc<AtomicU64>,
    cancellations: Cancellations,
    seal: Seal,
    tasks: TaskManager,
    stop: CancellationToken,
    forwarders: TaskTracker,
}

impl Server {
    pub(super) fn new(eras: Eras, stop: CancellationToken, forwarders: TaskTracker) -> Self {
        let shared = Shared {
            eras,
            tools: tools(),
            changes: Changes::new(),
            lists: Arc::default(),
            cancellations: Cancellations::default(),
            seal: Seal::new(),
            tasks: TaskManager::new(),
            stop,
            forwarders,
        };
        Self::around(Arc::new(shared))
    }

    /// How many resources clients have subscribed to.
    pub(super) fn watched(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.shared.changes.watched)
    }

    /// How often the tools were listed.
    pub(super) fn lists(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.lists)
    }

    pub(super) fn for_client(&self) -> Self {
        Self::around(Arc::clone(&self.shared))
    }

    fn around(shared: Arc<Shared>) -> Self {
        Self {
            listener: Arc::new(shared.changes.listener()),
            log_level: watch::Sender::new(LoggingLevel::Debug),
            gone: shared.stop.child_token(),
            shared,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tasks.shutdown();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("eras", &self.eras)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

fn tools() -> Vec<Tool> {
    [
        content::tools(),
        notices::tools(),
        callbacks::tools(),
        mrtr::tools(),
        tasks::tools(),
        changes::tools(),
        cancellation::tools(),
        reconnection::tools(),
    ]
    .concat()
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_tasks()
            .build();
        let name = Implementation::new("conformance-fixture", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities)
            .with_server_info(name)
            .with_instructions("A server for tests: nothing that it does has an effect.")
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        match self.shared.eras {
            Eras::Both => Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
            Eras::Legacy => {
                Cow::Borrowed(ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25))
            }
            Eras::Modern => Cow::Borrowed(&[ProtocolVersion::V_2026_07_28]),
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let (listener, gone) = (Arc::clone(&self.listener), self.gone.clone());
        self.shared
            .forwarders
            .spawn(async move { listener.serve_session(&context.peer, &gone).await });
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools = self.shared.tools.clone();
        self.shared.lists.fetch_add(1, Ordering::SeqCst);
        if self.shared.changes.tool.load(Ordering::SeqCst) {
            tools.push(plain(ADDED_TOOL, "Added by a change"));
        }
        Ok(ListToolsResult::with_all_items(tools)
            .with_ttl_ms(FRESH_MS)
            .with_cache_scope(CacheScope::Public))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let mut tools = self.shared.tools.iter();
        tools.find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let shared = &self.shared;
        let call = Call::new(request, context);
        let at_once = content::call(&call)
            .or_else(|| mrtr::call(&call, &shared.seal))
            .or_else(|| shared.changes.call(&call));
        if let Some(answer) = at_once {
            return answer;
        }
        if let Some(answer) = notices::call(&call, &self.log_level).await {
            return answer;
        }
        if let Some(answer) = callbacks::call(&call).await {
            return answer;
        }
        if let Some(answer) = tasks::call(&call, &shared.tasks).await {
            return answer;
        }
        if let Some(answer) = shared.cancellations.call(&call).await {
            return answer;
        }
        if let Some(answer) = reconnection::call(&call).await {
            return answer;
        }
        let message = format!("there is no tool {}", call.name);
        Err(ErrorData::invalid_params(message, None))
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let task = self.shared.tasks.get_task(&request.task_id)?;
        Ok(GetTaskResult::new(task))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let tasks = &self.shared.tasks;
        tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.shared.tasks.cancel_task(&request.task_id)
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut prompts = prompts::prompts();
        if self.shared.changes.prompt.load(Ordering::SeqCst) {
            prompts.push(prompts::added());
        }
        Ok(ListPromptsResult::with_all_items(prompts)
            .with_ttl_ms(FRESH_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let call = Call {
            name: request.name.clone(),
            arguments: request.arguments.clone().unwrap_or_default(),
            input_responses: request.input_responses.clone().unwrap_or_default(),
            request_state: request.request_state.clone(),
            context,
        };
        prompts::get(&request, &call)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = prompts::complete(&request.argument.value);
        let info = CompletionInfo::with_all_values(values)
            .map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(CompleteResult::new(info))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut resources = resources::resources();
        if self.shared.changes.resource.load(Ordering::SeqCst) {
            resources.push(resources::added());
        }
        Ok(ListResourcesResult::with_all_items(resources)
            .with_ttl_ms(FRESH_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(
            ListResourceTemplatesResult::with_all_items(resources::templates())
                .with_ttl_ms(FRESH_MS)
                .with_cache_scope(CacheScope::Public),
        )
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let cancellations = self.shared.cancellations.count();
        let contents = resources::read(&request.uri, cancellations)?;
        // The count of cancellations is never fresh for long.
        let result = ReadResourceResult::new(vec![contents])
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Public);
        Ok(result.into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.listener.subscribe(request.uri).await;
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.listener.unsubscribe(&request.uri).await;
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        self.listener.serve_subscription(&context, &self.gone).await;
        Ok(())
    }

    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.log_level.send_replace(request.level);
        Ok(())
    }
}
