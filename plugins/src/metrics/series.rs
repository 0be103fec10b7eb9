//! The series of one metric, found by their labels without a copy of them: measuring is part of
//! every request, a new series is rare.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use arc_swap::ArcSwap;
use prometheus_client::metrics::family::{Family, MetricConstructor};

use super::Labels;

/// A series' labels as its caller has them, in the order of their names.
pub(crate) type Borrowed<'a> = [(&'a str, &'a str)];

/// The label that says whose a series is.
const TENANT: &str = "tenant";

/// The series of one metric. Clones of the family are what is rendered.
pub(super) struct AllSeries<M, C> {
    pub(super) family: Family<Labels, M, C>,
    known: ArcSwap<Known<M>>,
    hasher: RandomState,
}

#[derive(Clone)]
struct Known<M> {
    by_hash: HashMap<u64, Vec<(Labels, M)>>,
    /// How many each tenant has.
    by_tenant: HashMap<String, usize>,
}

impl<M: Clone, C: MetricConstructor<M>> AllSeries<M, C> {
    pub(super) fn new(family: Family<Labels, M, C>) -> Self {
        Self {
            family,
            known: ArcSwap::from_pointee(Known {
                by_hash: HashMap::new(),
                by_tenant: HashMap::new(),
            }),
            hasher: RandomState::new(),
        }
    }

    /// Measures with a series, if it is there.
    pub(super) fn with(&self, labels: &Borrowed<'_>, measure: impl FnOnce(&M)) -> bool {
        let known = self.known.load();
        let alike = known.by_hash.get(&self.hash(labels));
        let alike = alike.into_iter().flatten();
        let found = alike.into_iter().find(|(own, _)| is_same(own, labels));
        if let Some((_, metric)) = found {
            measure(metric);
        }
        found.is_some()
    }

    /// Makes a series. Of two that do so at once, both get the same one.
    pub(super) fn make(&self, labels: &Borrowed<'_>) {
        let owned: Labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let metric = self.family.get_or_create(&owned).clone();
        let hash = self.hash(labels);
        self.known.rcu(|known| {
            let mut known = Known::clone(known);
            let alike = known.by_hash.entry(hash).or_default();
            if !alike.iter().any(|(own, _)| is_same(own, labels)) {
                alike.push((owned.clone(), metric.clone()));
                let tenant = tenant_of(labels).to_owned();
                *known.by_tenant.entry(tenant).or_default() += 1;
            }
            known
        });
    }

    /// How many series there are of the tenant whose these labels are.
    pub(super) fn count_alike(&self, labels: &Borrowed<'_>) -> usize {
        let known = self.known.load();
        let count = known.by_tenant.get(tenant_of(labels));
        count.copied().unwrap_or_default()
    }

    fn hash(&self, labels: &Borrowed<'_>) -> u64 {
        self.hasher.hash_one(labels)
    }
}

/// Nobody's are those of no tenant.
fn tenant_of<'a>(labels: &Borrowed<'a>) -> &'a str {
    let label = labels.iter().find(|(name, _)| *name == TENANT);
    label.map_or("", |(_, tenant)| *tenant)
}

fn is_same(own: &Labels, labels: &Borrowed<'_>) -> bool {
    own.len() == labels.len()
        && own
            .iter()
            .zip(labels)
            .all(|((name, value), (a, b))| name == a && value == b)
}
