//! Names, pages and tags of requests, read or refused with the field that is wrong.

use std::str::FromStr;

use gateway_core::{Revision, TenantId};
use tonic::Status;

use super::refusal::field;

const MAX_REASON_CHARS: usize = 1000;

/// How many items a page may have.
pub(super) struct Page {
    /// When nobody says.
    pub(super) usual: u32,
    pub(super) most: u32,
}

impl Page {
    pub(super) fn limit(&self, asked: i32) -> Result<u32, Status> {
        match u32::try_from(asked) {
            Ok(0) => Ok(self.usual),
            Ok(asked) => Ok(asked.min(self.most)),
            Err(_) => Err(field("page_size", "is negative")),
        }
    }
}

/// Cuts a page that was read with one item too many; says whether there was one.
pub(super) fn cut<T>(mut items: Vec<T>, limit: u32) -> (Vec<T>, bool) {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    (items, more)
}

/// Where a page begins; `None`: at the beginning.
pub(super) fn after<T: FromStr>(page_token: &str) -> Result<Option<T>, Status> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let invalid = |_| field("page_token", "is not the `next_page_token` of another page");
    page_token.parse().map(Some).map_err(invalid)
}

/// The tenant of `tenants/TENANT`.
pub(super) fn required_tenant(name: &str, value: &str) -> Result<TenantId, Status> {
    let Some(tenant) = value.strip_prefix("tenants/") else {
        return Err(field(name, "is no name of a tenant: write tenants/TENANT"));
    };
    tenant
        .parse()
        .map_err(|error: gateway_core::InvalidName| field(name, error.to_string()))
}

/// The tenant and the number of `tenants/TENANT/revisions/NUMBER`.
pub(super) fn revision(name: &str, value: &str) -> Result<(TenantId, Revision), Status> {
    let Some((tenant, number)) = value.split_once("/revisions/") else {
        let form = "is no name of a revision: write tenants/TENANT/revisions/NUMBER";
        return Err(field(name, form));
    };
    let tenant = required_tenant(name, tenant)?;
    match number.parse() {
        Ok(number) if number > 0 => Ok((tenant, Revision(number))),
        _ => Err(field(
            name,
            format!("`{number}` is no number of a revision"),
        )),
    }
}

pub(super) fn revision_number(number: u64) -> Result<Revision, Status> {
    if number == 0 {
        return Err(field("revision", "is missing: revisions count from 1"));
    }
    Ok(Revision(number))
}

/// The revision that an entity tag stands for; `None`: any.
pub(super) fn etag(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(revision) => Ok(Some(Revision(revision))),
        Err(_) => Err(field("etag", "is not the `etag` of a tenant")),
    }
}

pub(super) fn reason(text: String) -> Result<String, Status> {
    if text.chars().count() > MAX_REASON_CHARS || text.chars().any(|c| c.is_control() && c != '\n')
    {
        return Err(field(
            "reason",
            format!("is longer than {MAX_REASON_CHARS} characters, or has control characters"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn names_have_their_one_form() {
        let tenant = required_tenant("name", "tenants/acme").unwrap();
        assert_eq!(tenant.as_str(), "acme");
        let (tenant, number) = revision("name", "tenants/acme/revisions/7").unwrap();
        assert_eq!((tenant.as_str(), number), ("acme", Revision(7)));
        for name in [
            "",
            "acme",
            "tenants/",
            "tenants/a/b",
            "tenants/../x",
            "tenants/A",
        ] {
            let status = required_tenant("name", name).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{name}");
        }
        for name in [
            "tenants/acme",
            "tenants/acme/revisions/",
            "tenants/acme/revisions/0",
            "tenants/acme/revisions/1/2",
            "tenants//revisions/1",
        ] {
            assert!(revision("name", name).is_err(), "{name}");
        }
    }

    #[test]
    fn pages_are_bounded_and_end() {
        let page = Page {
            usual: 50,
            most: 100,
        };
        for (asked, limit) in [(0, 50), (1, 1), (i32::MAX, 100)] {
            assert_eq!(page.limit(asked).unwrap(), limit);
        }
        assert!(page.limit(-1).is_err());
        assert_eq!(cut(vec![1, 2, 3], 2), (vec![1, 2], true));
        assert_eq!(cut(vec![1, 2], 2), (vec![1, 2], false));
        assert!(after::<u64>("x").is_err());
        assert_eq!(after::<u64>("").unwrap(), None);
    }
}
