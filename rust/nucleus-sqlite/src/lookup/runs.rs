//! Look-up by hash and by record id, without any random index on the write path.
//!
//! The first entries are in `hash_index` and `id_index`, which grow by sorted runs of [`RUN_ENTRIES`]; those behind the
//! last run are found through a map in memory, read from `entries` when it is first needed. Both only name candidates:
//! a hit is always confirmed on the row itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nucleus_core::Hash;
use nucleus_engine::model::{Order, Result};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::connect::Doing;
use crate::rows::refuse_gap;

/// The first 8 bytes as a big-endian signed integer: the key of the look-up by hash.
pub(crate) fn prefix_of(hash: &Hash) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The same of the plain BLAKE3 of a record id: the key of the look-up by id.
pub(crate) fn record_id_prefix(record_id: &str) -> i64 {
    prefix_of(&Hash(*blake3::hash(record_id.as_bytes()).as_bytes()))
}

/// Entries in one run of the index tables.
pub(crate) const RUN_ENTRIES: i64 = 65_536;

/// Runs are written together once so many entries wait: each writing touches most pages of both tables, so the larger
/// the tables, the more entries share it; the map in memory stays bounded.
fn entries_worth_writing(indexed_below: i64) -> i64 {
    const MOST_RUNS: i64 = 4;
    (indexed_below / 8 / RUN_ENTRIES).clamp(1, MOST_RUNS) * RUN_ENTRIES
}

/// Which of the two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Hash,
    RecordId,
}

impl Key {
    /// The table that holds the runs.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Hash => "hash_index",
            Self::RecordId => "id_index",
        }
    }
}

/// Seqs behind `after` and before `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) after: i64,
    pub(crate) before: i64,
}

impl Span {
    /// Every seq there can be.
    pub(crate) const ALL: Self = Self { after: -1, before: i64::MAX };

    pub(crate) fn contains(self, seq: i64) -> bool {
        self.after < seq && seq < self.before
    }
}

/// What one snapshot shows of the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Entries below this seq are committed.
    pub(crate) committed_below: i64,
    /// What [`Lookup::generation`] was before the snapshot was taken.
    pub(crate) generation: u64,
}

/// The map of the entries behind the last run.
#[derive(Debug, Default)]
struct Tail {
    /// Entries below this seq are in the index tables, as far as this process knows.
    indexed_below: i64,
    /// Entries from `indexed_below` to here are in the sets.
    loaded_below: i64,
    by_hash: BTreeSet<(i64, i64)>,
    by_id: BTreeSet<(i64, i64)>,
}

/// Finds candidates.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// Held for the time of a refresh or a look at the sets; no other lock is taken under it.
    tail: Mutex<Option<Tail>>,
    /// How often the map forgot what a run holds; changed under the lock of `tail`. A snapshot from before may not show
    /// that run.
    generation: AtomicU64,
}

impl Lookup {
    /// Seqs of entries that may have this hash, as far as the map knows without looking at what is new.
    pub(crate) fn known_candidates(&self, connection: &Connection, prefix: i64) -> Result<Vec<i64>> {
        let guard = self.tail();
        let Some(tail) = &*guard else { return Ok(Vec::new()) };
        let seqs: Vec<i64> = tail.matches(Key::Hash, prefix, Span::ALL).collect();
        let indexed_below = tail.indexed_below;
        drop(guard);
        if !seqs.is_empty() {
            return Ok(seqs);
        }
        let span = Span { before: indexed_below, ..Span::ALL };
        in_table(connection, Key::Hash, prefix, span, Order::Ascending, usize::MAX)
    }

    /// To be asked before a snapshot is taken.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The map, brought up to what a snapshot shows.
    fn loaded(&self, connection: &Connection, extent: Extent) -> Result<MutexGuard<'_, Option<Tail>>> {
        let mut guard = self.tail();
        let tail = match &mut *guard {
            Some(tail) => tail,
            empty => {
                self.generation.fetch_add(1, Ordering::AcqRel);
                empty.insert(Tail::begin(connection, extent.committed_below)?)
            }
        };
        tail.load(connection, extent.committed_below)?;
        Ok(guard)
    }

    /// The seqs below which a snapshot shows the runs, of those that the map has left to them.
    fn shown_below(&self, connection: &Connection, extent: Extent, tail: &Tail) -> Result<i64> {
        if extent.generation == self.generation() {
            return Ok(tail.indexed_below);
        }
        Ok(indexed_below(connection, extent.committed_below)?.min(tail.indexed_below))
    }

    fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        // The sets only name candidates and are brought forward entry by entry: a panic elsewhere leaves them usable.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seqs of the committed entries that may have this key, in ascending order.
    pub(crate) fn candidates(
        &self,
        connection: &Connection,
        key: Key,
        prefix: i64,
        extent: Extent,
    ) -> Result<Vec<i64>> {
        self.candidates_in(connection, key, prefix, extent, Span::ALL, Order::Ascending, usize::MAX)
    }

    /// At most `limit` of those seqs, within `span`, in `order`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn candidates_in(
        &self,
        connection: &Connection,
        key: Key,
        prefix: i64,
        extent: Extent,
        span: Span,
        order: Order,
        limit: usize,
    ) -> Result<Vec<i64>> {
        let guard = self.loaded(connection, extent)?;
        let Some(tail) = &*guard else { return Ok(Vec::new()) };
        // Another process may have committed entries that this snapshot does not show.
        let visible = Span { before: span.before.min(extent.committed_below), ..span };
        let behind_runs: Vec<i64> = match order {
            Order::Ascending => tail.matches(key, prefix, visible).take(limit).collect(),
            Order::Descending => tail.matches(key, prefix, visible).rev().take(limit).collect(),
        };
        let shown_below = self.shown_below(connection, extent, tail)?;
        let unshown = unshown(visible, shown_below, tail.indexed_below);
        drop(guard);
        if order == Order::Descending && behind_runs.len() == limit {
            return Ok(behind_runs);
        }
        let mut between: Vec<i64> =
            in_entries(connection, key, &[prefix], unshown)?.into_iter().map(|(_, seq)| seq).collect();
        let indexed = Span { before: visible.before.min(shown_below), ..visible };
        let in_runs = in_table(connection, key, prefix, indexed, order, limit)?;
        let mut seqs = match order {
            Order::Ascending => [in_runs, between, behind_runs].concat(),
            Order::Descending => {
                between.reverse();
                [behind_runs, between, in_runs].concat()
            }
        };
        seqs.truncate(limit);
        Ok(seqs)
    }

    /// Seqs within `span` of the committed entries that may have one of these record ids, and the part of the span in which
    /// they are all there are: of an id with `limit` entries or more, the first so many in `order`.
    pub(crate) fn candidates_of(
        &self,
        connection: &Connection,
        ids: &[String],
        extent: Extent,
        span: Span,
        order: Order,
        limit: usize,
    ) -> Result<(Vec<i64>, Span)> {
        let guard = self.loaded(connection, extent)?;
        let Some(tail) = &*guard else { return Ok((Vec::new(), span)) };
        let visible = Span { before: span.before.min(extent.committed_below), ..span };
        let shown_below = self.shown_below(connection, extent, tail)?;
        let unshown = unshown(visible, shown_below, tail.indexed_below);
        let indexed = Span { before: visible.before.min(shown_below), ..visible };
        let mut prefixes: Vec<i64> = ids.iter().map(|id| record_id_prefix(id)).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut groups: Vec<Vec<i64>> =
            prefixes.iter().map(|prefix| tail.matches(Key::RecordId, *prefix, visible).collect()).collect();
        drop(guard);
        for (prefix, seq) in in_entries(connection, Key::RecordId, &prefixes, unshown)? {
            if let Ok(position) = prefixes.binary_search(&prefix) {
                groups[position].push(seq);
            }
        }
        // One statement for all, in the order of the table: most look-ups meet the page that the one before has read.
        if indexed.before > indexed.after.saturating_add(1) {
            let doing = "looking entries up";
            let direction = if order == Order::Ascending { "ASC" } else { "DESC" };
            let sql = format!(
                "SELECT seq FROM id_index WHERE prefix = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq {direction} LIMIT ?4"
            );
            let most = limit as i64 + 1;
            let mut statement = connection.prepare_cached(&sql).doing(doing)?;
            for (prefix, group) in prefixes.iter().zip(&mut groups) {
                let mut rows = statement.query((prefix, indexed.after, indexed.before, most)).doing(doing)?;
                while let Some(row) = rows.next().doing(doing)? {
                    group.push(row.get(0).doing(doing)?);
                }
            }
        }
        Ok(cut(groups, span, order, limit))
    }

    /// Whether a whole run of entries waits to be indexed; `length` is the number of entries.
    pub(crate) fn run_is_due(&self, connection: &Connection, length: i64) -> Result<bool> {
        if length < RUN_ENTRIES {
            return Ok(false);
        }
        let known = self.tail().as_ref().map(|tail| tail.indexed_below);
        let indexed_below = match known {
            Some(known) => known,
            None => indexed_below(connection, length)?,
        };
        Ok(length - indexed_below >= entries_worth_writing(indexed_below))
    }

    /// Writes the runs that wait in one transaction, unless another process did; the map forgets what the tables hold.
    pub(crate) fn write_runs(&self, connection: &mut Connection, length: i64) -> Result<()> {
        let doing = "writing a run of the look-up indexes";
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
        let first = indexed_below(&transaction, length)?;
        let end = length - length % RUN_ENTRIES;
        if first < end {
            for key in [Key::Hash, Key::RecordId] {
                insert_runs(&transaction, key, first, end)?;
            }
        }
        transaction.commit().doing(doing)?;
        if let Some(tail) = &mut *self.tail() {
            self.generation.fetch_add(1, Ordering::AcqRel);
            tail.forget_indexed(end);
        }
        Ok(())
    }
}

/// Joins the seqs of several ids; where one has more than `limit`, what lies behind its first so many is left out.
fn cut(groups: Vec<Vec<i64>>, span: Span, order: Order, limit: usize) -> (Vec<i64>, Span) {
    let mut complete = span;
    let mut seqs = Vec::new();
    for mut group in groups {
        if group.len() > limit {
            group.sort_unstable();
            match order {
                Order::Ascending => complete.before = complete.before.min(group[limit - 1] + 1),
                Order::Descending => complete.after = complete.after.max(group[group.len() - limit] - 1),
            }
        }
        seqs.append(&mut group);
    }
    seqs.retain(|seq| complete.contains(*seq));
    (seqs, complete)
}

/// The part of a span that the map has left to runs which a snapshot does not show.
fn unshown(span: Span, shown_below: i64, indexed_below: i64) -> Span {
    Span { after: span.after.max(shown_below - 1), before: span.before.min(indexed_below) }
}

/// (prefix, seq) of the entries with one of these prefixes, which are sorted: read from the entries themselves.
fn in_entries(connection: &Connection, key: Key, prefixes: &[i64], span: Span) -> Result<Vec<(i64, i64)>> {
    let mut found = Vec::new();
    if span.before <= span.after.saturating_add(1) {
        return Ok(found);
    }
    let doing = "looking through entries";
    let sql = "SELECT seq, hash, record_id FROM entries NOT INDEXED WHERE seq > ?1 AND seq < ?2 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = statement.query((span.after, span.before)).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let prefix = match key {
            Key::Hash => prefix_of(&Hash(row.get(1).doing(doing)?)),
            Key::RecordId => {
                let id = row.get_ref(2).doing(doing)?;
                record_id_prefix(id.as_str().map_err(rusqlite::Error::from).doing(doing)?)
            }
        };
        if prefixes.binary_search(&prefix).is_ok() {
            found.push((prefix, row.get(0).doing(doing)?));
        }
    }
    Ok(found)
}

/// Seqs that the index table names.
fn in_table(
    connection: &Connection,
    key: Key,
    prefix: i64,
    span: Span,
    order: Order,
    limit: usize,
) -> Result<Vec<i64>> {
    if span.before <= span.after.saturating_add(1) {
        return Ok(Vec::new());
    }
    let doing = "looking an entry up";
    let sql = match (key, order) {
        (Key::Hash, Order::Ascending) => {
            "SELECT seq FROM hash_index WHERE prefix = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq LIMIT ?4"
        }
        (Key::Hash, Order::Descending) => {
            "SELECT seq FROM hash_index WHERE prefix = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
        }
        (Key::RecordId, Order::Ascending) => {
            "SELECT seq FROM id_index WHERE prefix = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq LIMIT ?4"
        }
        (Key::RecordId, Order::Descending) => {
            "SELECT seq FROM id_index WHERE prefix = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
        }
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    statement
        .query_map((prefix, span.after, span.before, limit), |row| row.get(0))
        .and_then(Iterator::collect)
        .doing(doing)
}

impl Tail {
    fn matches(&self, key: Key, prefix: i64, span: Span) -> impl DoubleEndedIterator<Item = i64> + '_ {
        let set = match key {
            Key::Hash => &self.by_hash,
            Key::RecordId => &self.by_id,
        };
        // A span is never empty by more than its own bounds, which a range over a set would not take.
        let first = span.after.saturating_add(1);
        set.range((prefix, first)..(prefix, span.before.max(first))).map(|(_, seq)| *seq)
    }

    fn begin(connection: &Connection, length: i64) -> Result<Self> {
        let indexed_below = indexed_below(connection, length)?;
        Ok(Self { indexed_below, loaded_below: indexed_below, ..Self::default() })
    }

    /// Brings the sets up to `below`.
    fn load(&mut self, connection: &Connection, below: i64) -> Result<()> {
        if below <= self.loaded_below {
            return Ok(());
        }
        let doing = "reading the newest entries";
        let sql = "SELECT seq, hash, record_id FROM entries WHERE seq >= ?1 AND seq < ?2 ORDER BY seq";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query((self.loaded_below, below)).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let (seq, hash, id): (i64, [u8; 32], String) =
                (row.get(0).doing(doing)?, row.get(1).doing(doing)?, row.get(2).doing(doing)?);
            self.by_hash.insert((prefix_of(&Hash(hash)), seq));
            self.by_id.insert((record_id_prefix(&id), seq));
            self.loaded_below = seq + 1;
        }
        Ok(())
    }

    fn forget_indexed(&mut self, indexed_below: i64) {
        if indexed_below <= self.indexed_below {
            return;
        }
        self.by_hash.retain(|(_, seq)| *seq >= indexed_below);
        self.by_id.retain(|(_, seq)| *seq >= indexed_below);
        self.indexed_below = indexed_below;
        self.loaded_below = self.loaded_below.max(indexed_below);
    }
}

/// Entries below this seq are in the index tables. A run is written in one transaction, so its first row stands for it.
pub(crate) fn indexed_below(connection: &Connection, length: i64) -> Result<i64> {
    let doing = "reading the look-up indexes";
    let mut run_end = length - length % RUN_ENTRIES;
    refuse_impossible(connection, run_end)?;
    let sql = "SELECT hash FROM entries WHERE seq = ?1";
    let mut hash_at = connection.prepare_cached(sql).doing(doing)?;
    let mut contains =
        connection.prepare_cached("SELECT 1 FROM hash_index WHERE prefix = ?1 AND seq = ?2").doing(doing)?;
    while run_end > 0 {
        let first = run_end - RUN_ENTRIES;
        let hash: Option<[u8; 32]> = hash_at.query_row([first], |row| row.get(0)).optional().doing(doing)?;
        if let Some(hash) = hash
            && contains.exists((prefix_of(&Hash(hash)), first)).doing(doing)?
        {
            return Ok(run_end);
        }
        run_end = first;
    }
    Ok(0)
}

/// Refuses a length that the file has no room for, as an edited seq makes believe.
fn refuse_impossible(connection: &Connection, run_end: i64) -> Result<()> {
    if run_end == 0 {
        return Ok(());
    }
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .doing("reading the size of the database")?;
    // A run of entries takes thousands of pages.
    if run_end / RUN_ENTRIES <= pages { Ok(()) } else { refuse_gap(connection, pages.saturating_mul(RUN_ENTRIES)) }
}

fn insert_runs(connection: &Connection, key: Key, first: i64, end: i64) -> Result<()> {
    let doing = "writing a run of the look-up indexes";
    let mut pairs: Vec<(i64, i64)> = Vec::with_capacity((end - first) as usize);
    {
        let sql = "SELECT seq, hash, record_id FROM entries NOT INDEXED WHERE seq >= ?1 AND seq < ?2 ORDER BY seq";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query((first, end)).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let prefix = match key {
                Key::Hash => prefix_of(&Hash(row.get(1).doing(doing)?)),
                Key::RecordId => {
                    let id = row.get_ref(2).doing(doing)?;
                    record_id_prefix(id.as_str().map_err(rusqlite::Error::from).doing(doing)?)
                }
            };
            pairs.push((prefix, row.get(0).doing(doing)?));
        }
    }
    pairs.sort_unstable();
    let sql = match key {
        Key::Hash => "INSERT INTO hash_index(prefix, seq) VALUES (?1, ?2)",
        Key::RecordId => "INSERT INTO id_index(prefix, seq) VALUES (?1, ?2)",
    };
    let mut insert = connection.prepare_cached(sql).doing(doing)?;
    for pair in &pairs {
        insert.execute(*pair).doing(doing)?;
    }
    Ok(())
}
