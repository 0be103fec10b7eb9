//! The series of one metric, found by their labels without a copy of them: measuring is part of
//! every request, a new series is rare.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use arc_swap::ArcSwap;
use prometheus_client::metrics::family::{Family, MetricConstructor};

use super::Labels;

/// A series' labels as its caller has them, in the order of their names.
pub(crate) type Borrowed<'a> = [(&'a str, &'a str)];

/// The series of one metric. Clones of the family are what is rendered.
pub(super) struct AllSeries<M, C> {
    pub(super) family: Family<Labels, M, C>,
    known: ArcSwap<HashMap<u64, Vec<(Labels, M)>>>,
    hasher: RandomState,
}

impl<M: Clone, C: MetricConstructor<M>> AllSeries<M, C> {
    pub(super) fn new(family: Family<Labels, M, C>) -> Self {
        Self {
            family,
            known: ArcSwap::default(),
            hasher: RandomState::new(),
        }
    }

    /// Measures with a series, if it is there.
    pub(super) fn with(&self, labels: &Borrowed<'_>, measure: impl FnOnce(&M)) -> bool {
        let known = self.known.load();
        let alike = known.get(&self.hash(labels)).into_iter().flatten();
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
            let mut known = HashMap::clone(known);
            let alike = known.entry(hash).or_default();
            if !alike.iter().any(|(own, _)| is_same(own, labels)) {
                alike.push((owned.clone(), metric.clone()));
            }
            known
        });
    }

    fn hash(&self, labels: &Borrowed<'_>) -> u64 {
        self.hasher.hash_one(labels)
    }
}

fn is_same(own: &Labels, labels: &Borrowed<'_>) -> bool {
    own.len() == labels.len()
        && own
            .iter()
            .zip(labels)
            .all(|((name, value), (a, b))| name == a && value == b)
}
