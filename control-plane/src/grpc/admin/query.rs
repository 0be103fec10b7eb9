//! Which items of a list are wanted, in which order, and from where on (AIP-132, AIP-158, AIP-160).

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::fields::{Described, FieldPath, Scalar, descriptor, named};
use super::refusal::field;

/// More would be a mistake, and cost more than it is worth.
const MAX_CONDITIONS: usize = 20;
const MAX_ORDERS: usize = 5;

/// What a list request says besides its parent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) filter: &'a str,
    pub(super) order_by: &'a str,
    pub(super) page_token: &'a str,
}

impl Asked<'_> {
    /// Whether everything is wanted in the usual order.
    pub(super) fn is_plain(self) -> bool {
        self.filter.trim().is_empty() && self.order_by.trim().is_empty()
    }
}

/// A list request that was understood.
#[derive(Debug)]
pub(super) struct Query {
    conditions: Vec<(FieldPath, Scalar)>,
    order: Vec<(FieldPath, Direction)>,
    /// Where the page before ended.
    after: Option<Place>,
    /// Tells this list from others, so that no page is taken for one of another list.
    fingerprint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// An item's place in the order.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    list: String,
    keys: Vec<Scalar>,
}

impl Query {
    /// Reads a request for a list of `M` below `parent`. The order is completed by the names, which
    /// no two items share.
    pub(super) fn read<M: Described>(parent: &str, asked: Asked<'_>) -> Result<Self, Status> {
        let of = descriptor::<M>()?;
        let conditions = conditions(&of, asked.filter).map_err(|why| field("filter", why))?;
        let order = order(&of, asked.order_by).map_err(|why| field("order_by", why))?;
        let fingerprint = fingerprint(&[M::NAME, parent, asked.filter, asked.order_by]);
        let after = match asked.page_token {
            "" => None,
            token => Some(place(token, &fingerprint, order.len())?),
        };
        Ok(Self {
            conditions,
            order,
            after,
            fingerprint,
        })
    }

    /// The page, and the token of the next one; empty where there is none.
    pub(super) fn page<M: Described>(
        &self,
        items: Vec<M>,
        limit: u32,
    ) -> Result<(Vec<M>, String), Status> {
        let mut wanted = Vec::new();
        for item in items {
            let named = named(&item)?;
            if self.matches(&named) {
                let keys = self.keys(&named);
                let is_behind = |after: &Place| self.compare(&keys, &after.keys).is_gt();
                if self.after.as_ref().is_none_or(is_behind) {
                    wanted.push((keys, item));
                }
            }
        }
        wanted.sort_by(|(one, _), (other, _)| self.compare(one, other));
        let limit = limit as usize;
        let more = wanted.len() > limit;
        wanted.truncate(limit);
        let next = match wanted.last() {
            Some((keys, _)) if more => self.token(keys.clone()),
            _ => String::new(),
        };
        Ok((wanted.into_iter().map(|(_, item)| item).collect(), next))
    }

    fn matches(&self, item: &DynamicMessage) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|(path, wanted)| path.values(item).contains(wanted))
    }

    fn keys(&self, item: &DynamicMessage) -> Vec<Scalar> {
        let keys = self.order.iter();
        keys.map(|(path, _)| path.only_value(item)).collect()
    }

    fn compare(&self, one: &[Scalar], other: &[Scalar]) -> Ordering {
        let pairs = one.iter().zip(other).zip(&self.order);
        for ((one, other), (_, direction)) in pairs {
            let ordering = match direction {
                Direction::Ascending => one.cmp(other),
                Direction::Descending => other.cmp(one),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    }

    fn token(&self, keys: Vec<Scalar>) -> String {
        let place = Place {
            list: self.fingerprint.clone(),
            keys,
        };
        let text = serde_json::to_vec(&place).unwrap_or_default();
        BASE64_URL_SAFE_NO_PAD.encode(text)
    }
}

fn place(token: &str, fingerprint: &str, keys: usize) -> Result<Place, Status> {
    let text = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    match serde_json::from_slice::<Place>(&text) {
        Ok(place) if place.list == fingerprint && place.keys.len() == keys => Ok(place),
        Ok(_) => Err(field(
            "page_token",
            "is of another list: `parent`, `filter` and `order_by` must stay the same from page to page",
        )),
        Err(_) => Err(field(
            "page_token",
            "is not the `next_page_token` of another page",
        )),
    }
}

fn fingerprint(parts: &[&str]) -> String {
    let mut text = String::new();
    for part in parts {
        // With its length, so that no part is taken for two.
        text.push_str(&format!("{}:{part}", part.len()));
    }
    let digest = digest(&SHA256, text.as_bytes());
    let short = digest.as_ref().get(..9).unwrap_or_default();
    BASE64_URL_SAFE_NO_PAD.encode(short)
}

fn order(of: &MessageDescriptor, text: &str) -> Result<Vec<(FieldPath, Direction)>, String> {
    let mut order = Vec::new();
    let asked = text.split(',').filter(|_| !text.trim().is_empty());
    for part in asked {
        let mut words = part.split_whitespace();
        let name = words.next().ok_or("has a comma too many")?;
        let direction = match (words.next(), words.next()) {
            (None | Some("asc"), None) => Direction::Ascending,
            (Some("desc"), None) => Direction::Descending,
            _ => {
                let part = part.trim();
                return Err(format!(
                    "`{part}` is not `FIELD`, `FIELD asc` or `FIELD desc`"
                ));
            }
        };
        let path = FieldPath::read(of, name)?;
        if path.is_repeated() {
            return Err(format!(
                "`{name}` is a list, which has no place in an order"
            ));
        }
        order.push((path, direction));
    }
    if order.len() > MAX_ORDERS {
        return Err(format!("has more than {MAX_ORDERS} fields"));
    }
    order.push((FieldPath::read(of, "name")?, Direction::Ascending));
    Ok(order)
}

fn conditions(of: &MessageDescriptor, text: &str) -> Result<Vec<(FieldPath, Scalar)>, String> {
    let mut words = words(text)?.into_iter().peekable();
    let mut conditions = Vec::new();
    while words.peek().is_some() {
        if !conditions.is_empty() && words.next() != Some(Word::Bare("AND".to_owned())) {
            return Err("conditions are joined by AND".to_owned());
        }
        let form = "a condition is `FIELD = VALUE`";
        let (Some(Word::Bare(name)), Some(Word::Equals)) = (words.next(), words.next()) else {
            return Err(form.to_owned());
        };
        let Some(Word::Bare(value) | Word::Quoted(value)) = words.next() else {
            return Err(form.to_owned());
        };
        let path = FieldPath::read(of, &name)?;
        let value = path.value(&value)?;
        conditions.push((path, value));
    }
    if conditions.len() > MAX_CONDITIONS {
        return Err(format!("has more than {MAX_CONDITIONS} conditions"));
    }
    Ok(conditions)
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
    Equals,
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            _ if next.is_whitespace() => {}
            '=' => words.push(Word::Equals),
            '"' => words.push(Word::Quoted(quoted(&mut rest)?)),
            '<' | '>' | '!' | '(' | ')' | ':' => {
                return Err(format!(
                    "`{next}` is not understood: only `FIELD = VALUE`, joined by AND; other values stand in double quotes"
                ));
            }
            _ => {
                let mut word = next.to_string();
                let goes_on = |c: &char| !c.is_whitespace() && !matches!(c, '=' | '"');
                while let Some(next) = rest.next_if(goes_on) {
                    word.push(next);
                }
                words.push(Word::Bare(word));
            }
        }
    }
    Ok(words)
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(next) = rest.next() {
        match next {
            '"' => return Ok(text),
            '\\' => text.extend(rest.next()),
            _ => text.push(next),
        }
    }
    Err("a double quote is not closed".to_owned())
}

#[cfg(test)]
mod tests;
