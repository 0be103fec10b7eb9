//! The resources service: a tenant's plugins, servers and profiles, one by one.

use prost_types::FieldMask;
use tonic::Status;

use super::Service;
use super::names::{Page, reason, required_tenant};
use super::query::{self, Query};
use super::refusal;
use super::replay::Asking;
use super::trail::Done;
use crate::grpc::admission::{Caller, Power};

mod change;
mod part;
mod service;

use change::{Asked, Wish};
use part::{Part, PartName};

const PARTS: Page = Page {
    usual: 50,
    most: 1000,
};

/// What every change of a part carries.
struct Around {
    validate_only: bool,
    reason: String,
    asking: Asking,
}

impl Service {
    async fn part<P: Part>(&self, name: &str, caller: Caller) -> Result<Done<P>, Status> {
        let name = PartName::read::<P>("name", name)?;
        let missing = || refusal::no_tenant(&name.tenant);
        caller.may(Power::Read, Some(&name.tenant), missing)?;
        change::get(&self.control, &name).await.map(Done::read)
    }

    async fn parts<P: Part>(
        &self,
        parent: &str,
        page_size: i32,
        asked: query::Asked<'_>,
        caller: Caller,
    ) -> Result<(Vec<P>, String), Status> {
        let tenant = required_tenant("parent", parent)?;
        caller.may(Power::Read, Some(&tenant), || refusal::no_tenant(&tenant))?;
        let query = Query::read::<P>(parent, asked)?;
        let limit = PARTS.limit(page_size)?;
        query.page(change::all(&self.control, &tenant).await?, limit)
    }

    async fn create<P: Part>(
        &self,
        parent: String,
        id: String,
        part: Option<P>,
        around: Around,
        caller: Caller,
    ) -> Result<Done<P>, Status> {
        let name = PartName {
            tenant: required_tenant("parent", &parent)?,
            id,
        };
        let part = part.unwrap_or_default();
        let (made, part) = self.make(name, Wish::Create(part), around, caller).await?;
        Ok(Done::recorded_if(made, part.unwrap_or_default()))
    }

    async fn update<P: Part>(
        &self,
        part: Option<P>,
        mask: Option<FieldMask>,
        allow_missing: bool,
        around: Around,
        caller: Caller,
    ) -> Result<Done<P>, Status> {
        let part = part.unwrap_or_default();
        let name = PartName::read::<P>(&format!("{}.name", P::NOUN), part.name())?;
        let wish = Wish::Update {
            part,
            mask,
            allow_missing,
        };
        let (made, part) = self.make(name, wish, around, caller).await?;
        Ok(Done::recorded_if(made, part.unwrap_or_default()))
    }

    async fn delete_part<P: Part>(
        &self,
        name: String,
        etag: String,
        around: Around,
        caller: Caller,
    ) -> Result<Done<()>, Status> {
        let name = PartName::read::<P>("name", &name)?;
        let (made, _) = self
            .make(name, Wish::<P>::Delete { etag }, around, caller)
            .await?;
        Ok(Done::recorded_if(made, ()))
    }

    /// Makes a change; says whether it was recorded with it.
    async fn make<P: Part>(
        &self,
        name: PartName,
        wish: Wish<P>,
        around: Around,
        caller: Caller,
    ) -> Result<(bool, Option<P>), Status> {
        let missing = || refusal::no_tenant(&name.tenant);
        caller.may(Power::Change, Some(&name.tenant), missing)?;
        let Around {
            validate_only,
            reason: why,
            asking,
        } = around;
        let asked = Asked {
            name,
            wish,
            validate_only,
            request: match validate_only {
                true => None,
                false => asking.record(&caller.name)?,
            },
            author: caller.name,
            reason: reason(why)?,
        };
        Box::pin(change::make(&self.control, &asked)).await
    }
}
