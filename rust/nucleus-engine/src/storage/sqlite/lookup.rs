//! Look-up by hash and by record id, without any random index on the write path.
//!
//! The first entries are in `hash_index` and `id_index`, which grow by sorted runs of [`RUN_ENTRIES`]; those behind the
//! last run are found through a map in memory, read from `entries` when it is first needed. Both only name candidates:
//! a hit is always confirmed on the row itself.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nucleus_core::hash::{Hash, record_id_prefix};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::connect::Doing;
use crate::error::Result;

/// Entries in one run of the index tables.
pub(super) const RUN_ENTRIES: i64 = 65_536;

/// Runs are written together once so many entries wait: each writing touches most pages of both tables, so the larger
/// the tables, the more entries share it; the map in memory stays bounded.
fn entries_worth_writing(indexed_below: i64) -> i64 {
    const MOST_RUNS: i64 = 4;
    (indexed_below / 8 / RUN_ENTRIES).clamp(1, MOST_RUNS) * RUN_ENTRIES
}

/// Which of the two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Hash,
    RecordId,
}

impl Key {
    /// The table that holds the runs.
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Hash => "hash_index",
            Self::RecordId => "id_index",
        }
    }
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
pub(super) struct Lookup {
    /// Held for the time of a refresh or a look at the sets; no other lock is taken under it.
    tail: Mutex<Option<Tail>>,
}

impl Lookup {
    /// Seqs of entries that may have this hash, as far as the map knows without looking at what is new.
    pub(super) fn known_candidates(&self, connection: &Connection, prefix: i64) -> Result<Vec<i64>> {
        let guard = self.tail();
        let Some(tail) = &*guard else { return Ok(Vec::new()) };
        let seqs = tail.matches(Key::Hash, prefix);
        let indexed_below = tail.indexed_below;
        drop(guard);
        if seqs.is_empty() { in_table(connection, Key::Hash, prefix, indexed_below) } else { Ok(seqs) }
    }

    fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        // The sets only name candidates and are brought forward entry by entry: a panic elsewhere leaves them usable.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seqs of the committed entries below `committed_below` that may have this key, in ascending order.
    pub(super) fn candidates(
        &self,
        connection: &Connection,
        key: Key,
        prefix: i64,
        committed_below: i64,
    ) -> Result<Vec<i64>> {
        let mut guard = self.tail();
        let tail = match &mut *guard {
            Some(tail) => tail,
            empty => empty.insert(Tail::begin(connection, committed_below)?),
        };
        tail.load(connection, committed_below)?;
        let behind_runs = tail.matches(key, prefix);
        let indexed_below = tail.indexed_below;
        drop(guard);
        let mut seqs = in_table(connection, key, prefix, indexed_below)?;
        seqs.extend(behind_runs);
        Ok(seqs)
    }

    /// Whether a whole run of entries waits to be indexed; `length` is the number of entries.
    pub(super) fn run_is_due(&self, connection: &Connection, length: i64) -> Result<bool> {
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
    pub(super) fn write_runs(&self, connection: &mut Connection, length: i64) -> Result<()> {
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
            tail.forget_indexed(end);
        }
        Ok(())
    }
}

/// Seqs that the index table names, in ascending order.
fn in_table(connection: &Connection, key: Key, prefix: i64, indexed_below: i64) -> Result<Vec<i64>> {
    if indexed_below == 0 {
        return Ok(Vec::new());
    }
    let doing = "looking an entry up";
    let sql = match key {
        Key::Hash => "SELECT seq FROM hash_index WHERE prefix = ?1 AND seq < ?2 ORDER BY seq",
        Key::RecordId => "SELECT seq FROM id_index WHERE prefix = ?1 AND seq < ?2 ORDER BY seq",
    };
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    statement.query_map((prefix, indexed_below), |row| row.get(0)).and_then(Iterator::collect).doing(doing)
}

impl Tail {
    fn matches(&self, key: Key, prefix: i64) -> Vec<i64> {
        let set = match key {
            Key::Hash => &self.by_hash,
            Key::RecordId => &self.by_id,
        };
        set.range((prefix, i64::MIN)..=(prefix, i64::MAX)).map(|(_, seq)| *seq).collect()
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
            self.by_hash.insert((Hash(hash).prefix(), seq));
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
pub(super) fn indexed_below(connection: &Connection, length: i64) -> Result<i64> {
    let doing = "reading the look-up indexes";
    let mut run_end = length - length % RUN_ENTRIES;
    let sql = "SELECT hash FROM entries WHERE seq = ?1";
    let mut hash_at = connection.prepare_cached(sql).doing(doing)?;
    let mut contains =
        connection.prepare_cached("SELECT 1 FROM hash_index WHERE prefix = ?1 AND seq = ?2").doing(doing)?;
    while run_end > 0 {
        let first = run_end - RUN_ENTRIES;
        let hash: Option<[u8; 32]> = hash_at.query_row([first], |row| row.get(0)).optional().doing(doing)?;
        if let Some(hash) = hash
            && contains.exists((Hash(hash).prefix(), first)).doing(doing)?
        {
            return Ok(run_end);
        }
        run_end = first;
    }
    Ok(0)
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
                Key::Hash => Hash(row.get(1).doing(doing)?).prefix(),
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
