//! Who had access when, and who authorised it: answered from the entries, not from the projection.

use nucleus_core::{ACL_GRANTS_STREAM, ChainEntry, Hash};

use super::Access;
use super::projection::{Seen, changes};
use crate::model::{Change, Error, Grant, Meta, Resource, Result, Scope, WHOLE_KIND, record_id_of};

/// A time in the ledger's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the entry with this seq, at the second it was recorded.
    Seq(u64),
    /// At this time, in ms since the Unix epoch, by the engine's clock.
    Time(i64),
}

/// A moment that somebody asks about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) moment: Moment,
    /// The engine's clock then, in ms since the Unix epoch.
    pub(crate) clock_ms: i64,
    /// Whether they may know of it, whatever the explanation says.
    pub(crate) told_of: bool,
}

/// One grant and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// The grant.
    pub grant: Grant,
    /// Hash of the entry that it comes from.
    pub hash: Hash,
    /// What ended it, besides its `exp`.
    pub end: Option<End>,
}

/// What ended a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Seq of the entry.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// The engine's clock then, in ms since the Unix epoch.
    pub ended_at: i64,
    /// Who appended it.
    pub ended_by: String,
}

/// Why somebody may do something, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether they may.
    pub allowed: bool,
    /// In words.
    pub reason: String,
    /// The grant that it follows from, or the one that comes nearest to it.
    pub period: Option<Period>,
}

/// Where the entries of one record id in one stream come from.
pub(crate) type Histories<'a> = &'a mut dyn FnMut(&str, &str) -> Result<Vec<ChainEntry>>;

impl Access {
    /// Every grant there ever was on exactly this resource, in the order of their entries.
    pub(crate) fn periods(&self, resource: &Resource, histories: Histories<'_>) -> Result<Vec<Period>> {
        let streams = self.kinds().streams_of(&resource.kind);
        let mut entries = Vec::new();
        if resource.id != WHOLE_KIND {
            for stream in &streams {
                entries.extend(histories(&resource.id, stream)?);
            }
        }
        entries.extend(histories(&record_id_of(resource), ACL_GRANTS_STREAM)?);
        entries.sort_by_key(|entry| entry.seq);
        let mut periods = Vec::new();
        let mut seen = Seen::default();
        for entry in &entries {
            let record = &entry.record;
            for change in changes(self.kinds(), entry.seq, record, &seen.before(&record.stream)) {
                take(&mut periods, entry, change);
            }
            seen.take(self.kinds(), record);
        }
        Ok(periods)
    }

    /// Whether, and by what, a principal has a scope on a resource at some moment.
    pub(crate) fn explain(
        &self,
        principal_oid: &str,
        scope: Scope,
        resource: &Resource,
        at: Option<At>,
        now_ms: i64,
        histories: Histories<'_>,
    ) -> Result<Explanation> {
        if self.is_administrator(principal_oid) {
            let reason = "is the ledger's administrator".to_owned();
            return Ok(Explanation { allowed: true, reason, period: None });
        }
        let mut periods = self.periods(resource, histories)?;
        if resource.id != WHOLE_KIND {
            let whole = Resource { kind: resource.kind.clone(), id: WHOLE_KIND.to_owned() };
            periods.extend(self.periods(&whole, histories)?);
        }
        periods.retain(|period| period.grant.principal_oid == principal_oid);
        if let Some(At { moment: Moment::Seq(seq), told_of: false, .. }) = at {
            let named =
                |period: &Period| period.grant.seq == seq || period.end.as_ref().is_some_and(|end| end.seq == seq);
            if !periods.iter().any(named) {
                return Err(Error::Config(format!(
                    "seq {seq} is not that of an entry that you may read; name one that you may, or a time"
                )));
            }
        }
        let clock_s = at.map_or(now_ms, |at| at.clock_ms) / 1000;
        let at = at.map(|at| at.moment);
        let begun = |period: &Period| match at {
            None => true,
            Some(Moment::Seq(seq)) => period.grant.seq <= seq,
            Some(Moment::Time(time)) => period.grant.created_at <= time,
        };
        let ended = |period: &Period| match (&period.end, at) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(end), Some(Moment::Seq(seq))) => end.seq <= seq,
            (Some(end), Some(Moment::Time(time))) => end.ended_at <= time,
        };
        periods.retain(begun);
        let counts = |period: &Period| !ended(period) && period.grant.live_at(clock_s) && period.grant.allows(scope);
        if let Some(position) = periods.iter().position(counts) {
            let period = periods.swap_remove(position);
            let reason = format!(
                "has `{}` on {} ({}), by entry {}",
                period.grant.scope.name(),
                period.grant.resource,
                period.grant.source.name(),
                period.grant.seq
            );
            return Ok(Explanation { allowed: true, reason, period: Some(period) });
        }
        let allowing = periods.iter().rposition(|period| period.grant.allows(scope));
        Ok(refusal(allowing.map(|position| periods.swap_remove(position)), scope, resource, &ended))
    }
}

fn refusal(nearest: Option<Period>, scope: Scope, resource: &Resource, ended: &dyn Fn(&Period) -> bool) -> Explanation {
    let reason = match &nearest {
        None => format!("has no grant of `{}` on {resource} in the chain", scope.name()),
        Some(period) => {
            let had = format!("had `{}` on {}", period.grant.scope.name(), period.grant.resource);
            match &period.end {
                Some(end) if ended(period) => format!("{had} until entry {}, by {}", end.seq, end.ended_by),
                _ => format!("{had}, which expired at second {}", period.grant.exp.unwrap_or_default()),
            }
        }
    };
    Explanation { allowed: false, reason, period: nearest }
}

fn take(periods: &mut Vec<Period>, entry: &ChainEntry, change: Change) {
    let meta = Meta::of(&entry.record);
    let end = End {
        seq: entry.seq,
        hash: entry.hash,
        ended_at: meta.recorded_at.unwrap_or(entry.record.timestamp),
        ended_by: meta.requester_oid.unwrap_or_default(),
    };
    for period in periods.iter_mut().filter(|period| period.end.is_none() && change.ends(&period.grant)) {
        period.end = Some(end.clone());
    }
    if let Change::Put(grant) = change {
        periods.push(Period { grant, hash: entry.hash, end: None });
    }
}
