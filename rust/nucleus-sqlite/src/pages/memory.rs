//! What is remembered from one answer to the next. It decides where to look or is always true, never what is seen; each has
//! a bound.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lookup::runs::Span;

/// How long a principal with many grants is taken to have many, without counting them anew.
const MANY_FOR: Duration = Duration::from_secs(10);
/// Most principals of which that is remembered.
const MOST_PRINCIPALS: usize = 4_096;

/// Who has been found to have many grants: counting them costs as much as reading a page. It decides where to look, never
/// what is seen, so that it may be out of date.
#[derive(Debug, Default)]
pub(crate) struct ManyGrants {
    /// More than how many were found when. Held for moments.
    found: Mutex<HashMap<Counted, (u64, Instant)>>,
}

/// Whose grants are counted: principal, and scope and kind where not all count.
pub(crate) type Counted = (Arc<str>, Option<&'static str>, Option<String>);

impl ManyGrants {
    pub(crate) fn exceed(&self, counted: &Counted, few: u64) -> bool {
        self.found().get(counted).is_some_and(|(more_than, at)| *more_than >= few && at.elapsed() < MANY_FOR)
    }

    pub(crate) fn remember(&self, counted: Counted, more_than: u64) {
        let mut found = self.found();
        if found.len() >= MOST_PRINCIPALS {
            found.clear();
        }
        let known = found.get(&counted).filter(|(_, at)| at.elapsed() < MANY_FOR).map_or(0, |(known, _)| *known);
        found.insert(counted, (known.max(more_than), Instant::now()));
    }

    fn found(&self) -> MutexGuard<'_, HashMap<Counted, (u64, Instant)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most ids that are remembered.
const MOST_IDS: usize = 4_096;

/// In which streams ids with many versions stand. Entries stay: what is remembered stays true, and what comes after it is
/// looked at.
#[derive(Debug, Default)]
pub(crate) struct StreamsOfIds {
    /// By id: the streams, and the seq below which the chain was looked through. Held for moments.
    known: Mutex<HashMap<String, (BTreeSet<String>, i64)>>,
}

impl StreamsOfIds {
    pub(crate) fn get(&self, id: &str) -> Option<(BTreeSet<String>, i64)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn remember(&self, id: &str, streams: BTreeSet<String>, below: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_IDS {
            known.clear();
        }
        known.insert(id.to_owned(), (streams, below));
    }
}

/// Records of which the newest version is remembered from one read to another.
const MOST_KNOWN: usize = 4_096;

/// The newest version of records for which it took long to find, because their ids are in use in many streams. Entries stay:
/// only what came since need be looked at.
#[derive(Debug, Default)]
pub(crate) struct NewestKnown {
    /// By record id and stream. Held for moments.
    known: Mutex<HashMap<(String, String), Newest>>,
}

/// What the entries below a seq came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest {
    pub(crate) seq: Option<i64>,
    pub(crate) below: i64,
}

impl NewestKnown {
    /// What is known of the whole of a span that reaches as far, at least.
    pub(crate) fn get(&self, id: &str, stream: &str, span: Span) -> Option<Newest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = *known.get(&(id.to_owned(), stream.to_owned()))?;
        (span.after == Span::ALL.after && newest.below <= span.before).then_some(newest)
    }

    pub(crate) fn remember(&self, id: &str, stream: &str, newest: Newest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert((id.to_owned(), stream.to_owned()), newest);
    }
}
