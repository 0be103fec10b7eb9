//! A change of one part of a tenant: what it asks for, and how the tenant is changed by it.

use gateway_core::Revision;
use gateway_core::config::{TenantConfig, Violation, edit, load_yaml, to_yaml};
use gateway_proto::config::v1 as config;
use prost_types::FieldMask;
use tonic::Status;

use super::part::{Part, PartName, etag};
use crate::grpc::admin::fields::mask;
use crate::grpc::admin::refusal::{self, field};
use crate::grpc::admin::replay;
use crate::store::RequestRecord;
use crate::{ApplyError, Change, ControlPlane};

/// How often a change is tried anew that others of the same tenant come before.
const ATTEMPTS: usize = 20;

/// What is to become of a part.
#[derive(Debug, Clone)]
pub(super) enum Wish<P> {
    Create(P),
    Update {
        part: P,
        mask: Option<FieldMask>,
        allow_missing: bool,
    },
    Delete {
        etag: String,
    },
}

/// A change of a part, and what goes with every change.
#[derive(Debug, Clone)]
pub(super) struct Asked<P> {
    pub(super) name: PartName,
    pub(super) wish: Wish<P>,
    pub(super) validate_only: bool,
    pub(super) author: String,
    pub(super) reason: String,
    /// The request that it came by, if that may come again.
    pub(super) request: Option<RequestRecord>,
}

/// What a tenant has now.
struct Current {
    revision: Revision,
    submitted: String,
    /// What was submitted, as messages.
    config: config::TenantConfig,
}

/// Makes the change, unless the same request has made it before. Says whether a revision was made,
/// and what the part is.
pub(super) async fn make<P: Part>(
    control: &ControlPlane,
    asked: &Asked<P>,
) -> Result<(bool, Option<P>), Status> {
    let name = &asked.name;
    for _ in 0..ATTEMPTS {
        let store = control.store.as_ref();
        if let Some(answered) = replay::answered(store, asked.request.as_ref()).await? {
            return Ok((false, made_before(control, asked, answered.revision).await?));
        }
        let current = current(control, name).await?;
        let found = find::<P>(&current.config, &name.id);
        let wanted = asked.wish.decide(name, found)?;
        let (config, submitted) = changed::<P>(&current, &name.id, wanted)?;
        // As whoever asks for it next will be answered, and not as it was written.
        let part = find::<P>(&config::TenantConfig::from(&config), &name.id);
        let change = Change {
            config,
            submitted,
            must_exist: true,
            canary: None,
            author: asked.author.clone(),
            reason: asked.reason.clone(),
            expected: Some(current.revision),
            validate_only: asked.validate_only,
        };
        match control.apply_once(change, asked.request.clone()).await {
            Ok(applied) => {
                let part = part.map(|config| name.of::<P>(applied.revision, config));
                return Ok((applied.changed && !asked.validate_only, part));
            }
            // Of another part, or of this one: to be decided anew by what is there now.
            Err(ApplyError::Conflict { .. } | ApplyError::Repeated) => {}
            Err(error) => return Err(refusal::apply(error)),
        }
    }
    Err(Status::aborted(format!(
        "tenant {} is changed too often at the moment: try again",
        name.tenant
    )))
}

/// The part as an earlier request left it.
async fn made_before<P: Part>(
    control: &ControlPlane,
    asked: &Asked<P>,
    revision: Revision,
) -> Result<Option<P>, Status> {
    let Asked { name, wish, .. } = asked;
    if matches!(wish, Wish::Delete { .. }) {
        return Ok(None);
    }
    let stored = control.store.revision(&name.tenant, revision).await;
    let stored = stored.map_err(refusal::store)?;
    let stored = stored.ok_or_else(|| refusal::no_revision(&name.tenant, revision))?;
    let then = read(name, revision, stored.record.submitted)?;
    let found = find::<P>(&then.config, &name.id);
    Ok(found.map(|config| name.of::<P>(revision, config)))
}

/// A part as it is now.
pub(super) async fn get<P: Part>(control: &ControlPlane, name: &PartName) -> Result<P, Status> {
    let current = current(control, name).await?;
    let found = find::<P>(&current.config, &name.id);
    let config = found.ok_or_else(|| name.not_found::<P>())?;
    Ok(name.of(current.revision, config))
}

/// All parts of a kind, in the order of their names.
pub(super) async fn all<P: Part>(
    control: &ControlPlane,
    tenant: &gateway_core::TenantId,
) -> Result<Vec<P>, Status> {
    let mut name = PartName {
        tenant: tenant.clone(),
        id: String::new(),
    };
    let current = current(control, &name).await?;
    let mut parts = Vec::new();
    for (id, config) in P::all(&current.config) {
        name.id = id;
        parts.push(name.of(current.revision, config));
    }
    Ok(parts)
}

fn find<P: Part>(config: &config::TenantConfig, id: &str) -> Option<P::Config> {
    let mut all = P::all(config).into_iter();
    all.find(|(found, _)| found == id).map(|(_, part)| part)
}

impl<P: Part> Wish<P> {
    /// What the part's configuration is to be; `None`: none.
    fn decide(
        &self,
        name: &PartName,
        found: Option<P::Config>,
    ) -> Result<Option<P::Config>, Status> {
        match (self, found) {
            (Self::Create(_), Some(_)) => {
                let PartName { tenant, id } = name;
                let text = format!("tenant {tenant} has a {} `{id}` already", P::NOUN);
                Err(Status::already_exists(text))
            }
            (Self::Create(part), None) => required(part).map(Some),
            (Self::Update { part, mask, .. }, Some(found)) => {
                expect(part.etag(), &found)?;
                let before = name.of::<P>(Revision(0), found);
                let merged = mask::merge(&before, part, mask.as_ref())?;
                required(&merged).map(Some)
            }
            (
                Self::Update {
                    part,
                    allow_missing: true,
                    ..
                },
                None,
            ) => required(part).map(Some),
            (Self::Update { .. } | Self::Delete { .. }, None) => Err(name.not_found::<P>()),
            (Self::Delete { etag }, Some(found)) => {
                expect(etag, &found)?;
                Ok(None)
            }
        }
    }
}

fn required<P: Part>(part: &P) -> Result<P::Config, Status> {
    let missing = || field(&format!("{}.config", P::NOUN), "is missing");
    part.config().cloned().ok_or_else(missing)
}

fn expect(given: &str, found: &impl prost::Message) -> Result<(), Status> {
    if given.is_empty() || given == etag(found) {
        return Ok(());
    }
    Err(Status::aborted(
        "another change came first: the `etag` is not current any more; look at it, and try again",
    ))
}

async fn current(control: &ControlPlane, name: &PartName) -> Result<Current, Status> {
    let tenant = &name.tenant;
    let (revision, submitted) = control
        .submitted(tenant)
        .await
        .map_err(refusal::store)?
        .ok_or_else(|| refusal::no_tenant(tenant))?;
    read(name, revision, submitted)
}

fn read(name: &PartName, revision: Revision, submitted: String) -> Result<Current, Status> {
    let tenant = &name.tenant;
    let config = load_yaml(&submitted).map_err(|error| {
        tracing::error!(tenant.id = %tenant, %revision, %error, "what was submitted cannot be read");
        Status::failed_precondition(format!(
            "revision {revision} of tenant {tenant} cannot be read by this version: apply the whole tenant anew"
        ))
    })?;
    Ok(Current {
        revision,
        submitted,
        config: config::TenantConfig::from(&config),
    })
}

/// The whole configuration after the change, and the text of it.
fn changed<P: Part>(
    current: &Current,
    id: &str,
    part: Option<P::Config>,
) -> Result<(TenantConfig, String), Status> {
    let mut message = current.config.clone();
    let at = format!("{}_id", P::NOUN);
    P::put(&mut message, id, part).map_err(|reason| field(&at, reason))?;
    let config = TenantConfig::try_from(message)
        .map_err(|error| refusal::fields(vec![Violation::from(error)]))?;
    let edited = rewritten(&current.submitted, &config, P::COLLECTION, P::key(id));
    let is_the_same = |text: &String| load_yaml(text).is_ok_and(|read| read == config);
    let text = match edited.filter(is_the_same) {
        Some(text) => text,
        // Its form is beyond an edit; what it says is kept.
        None => to_yaml(&config)
            .map_err(|error| field("config", format!("cannot be written as YAML: {error}")))?,
    };
    Ok((config, text))
}

/// The text with one entry of one section as the configuration has it.
fn rewritten(text: &str, config: &TenantConfig, section: &str, key: &str) -> Option<String> {
    let written = serde_json::to_value(config).ok()?;
    match written.get(section).and_then(|entries| entries.get(key)) {
        Some(entry) => edit::set_entry(text, section, key, entry),
        None => edit::remove_entry(text, section, key),
    }
}
