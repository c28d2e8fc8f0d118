//! Verification of a whole database: ranges of seq and slices of the look-up indexes, read and hashed in parallel, each
//! worker on its own connection, in pages, never one transaction for long.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nucleus_core::index_sum::{IndexSum, SumKey};
use nucleus_core::verify::{ChainVerifier, Checks, IndexSums, RangeReport, RangeVerifier};
use nucleus_core::{ErrorKind, VerificationError, VerificationReport};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::SqliteStorage;
use super::connect::Doing;
use super::index_faults::locate;
use super::lookup::{Key, indexed_below};
use super::rows::{COLUMNS, verify_row};
use crate::error::{Error, Result};
use crate::storage::Progress;

/// Rows that one worker reads in one transaction.
const UNIT_ROWS: i64 = 16_384;
/// A second thread pays only from about here on.
const PARALLEL_ROWS: u64 = 65_536;
/// More readers than this do not make a scan faster.
const MAX_WORKERS: usize = 8;
/// Slices of each look-up index.
const INDEX_SLICES: i64 = 16;
/// Fewest bytes that a row of `entries` can take in a file: two hashes and a commitment.
const LEAST_ROW_BYTES: u64 = 64;

/// One piece of the work.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// Entries with a seq from the first to the second, both included.
    Entries(i64, i64),
    /// Rows of an index table with a prefix from the first to the second, both included.
    Index(Key, i64, i64),
}

/// What a piece came to.
enum Finding {
    Entries(Box<RangeReport>),
    Index(Key, IndexSum),
}

/// What is to be verified.
struct Plan {
    units: Vec<Unit>,
    indexed_below: i64,
    rows: u64,
}

impl SqliteStorage {
    pub(super) fn run_verify(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport> {
        let connection = self.reader()?;
        let plan = self.plan(&connection)?;
        let checks = Checks {
            ledger_id: &self.info.id,
            canonical_form: deep,
            payload_hash_claimed: false,
            indexed_below: plan.indexed_below,
            sum_key: random_sum_key()?,
        };
        let findings = self.work_off(&plan, checks, &connection, progress)?;
        let mut chain = ChainVerifier::default();
        let mut stored = IndexSums::default();
        for finding in findings {
            match finding {
                Finding::Entries(range) => chain.join(*range),
                Finding::Index(Key::Hash, sum) => stored.by_hash += sum,
                Finding::Index(Key::RecordId, sum) => stored.by_id += sum,
            }
        }
        let (mut report, expected) = chain.finish();
        if stored != expected {
            locate(&connection, &mut report)?;
        }
        if deep {
            check_database(&connection, &mut report)?;
        }
        Ok(report)
    }

    /// Cuts the chain into pieces. Rows appended meanwhile are not looked at.
    fn plan(&self, connection: &Connection) -> Result<Plan> {
        let doing = "reading the extent of the chain";
        let bound = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).doing(doing);
        let (Some(first), Some(last)) =
            (bound("SELECT min(seq) FROM entries")?, bound("SELECT max(seq) FROM entries")?)
        else {
            let units = [Key::Hash, Key::RecordId].map(|key| Unit::Index(key, i64::MIN, i64::MAX)).to_vec();
            return Ok(Plan { units, indexed_below: 0, rows: 0 });
        };
        // A file that somebody edited may say anything about its extent; it cannot hold more rows than fit.
        let most_rows = self.most_rows(connection)?;
        let span = last.abs_diff(first).saturating_add(1);
        if first < 0 || span > most_rows {
            return Ok(Plan { units: vec![Unit::Entries(i64::MIN, i64::MAX)], indexed_below: 0, rows: most_rows });
        }
        let mut units = Vec::new();
        let mut from = first;
        while from <= last {
            let to = from.saturating_add(UNIT_ROWS - 1).min(last);
            units.push(Unit::Entries(from, to));
            from = to + 1;
        }
        let indexed_below = indexed_below(connection, last + 1)?;
        for key in [Key::Hash, Key::RecordId] {
            units.extend(index_slices(key, indexed_below));
        }
        Ok(Plan { units, indexed_below, rows: span })
    }

    fn most_rows(&self, connection: &Connection) -> Result<u64> {
        let pages: i64 = connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .doing("reading the size of the database")?;
        Ok((pages as u64).saturating_mul(self.page_bytes) / LEAST_ROW_BYTES)
    }

    /// Works the plan off and answers the findings in its order.
    fn work_off(
        &self,
        plan: &Plan,
        checks: Checks<'_>,
        connection: &Connection,
        progress: Progress<'_>,
    ) -> Result<Vec<Finding>> {
        let shared = Shared {
            plan,
            next: AtomicUsize::new(0),
            rows_done: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            findings: Mutex::new(Vec::new()),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let helpers = if plan.rows < PARALLEL_ROWS { 0 } else { cores - 1 };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..helpers)
                .map(|_| {
                    scope.spawn(|| {
                        let connection = self.reader()?;
                        shared.run(&connection, checks, &mut |_, _| Ok(()))
                    })
                })
                .collect();
            // The calling thread works too; it alone runs the caller's code.
            let mut result = shared.run(connection, checks, progress);
            for worker in workers {
                let ended =
                    worker.join().unwrap_or_else(|_| Err(Error::Database("a verifying thread died".to_owned())));
                result = result.and(ended);
            }
            result
        })?;
        let mut findings = shared.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.sort_by_key(|(position, _)| *position);
        Ok(findings.into_iter().map(|(_, finding)| finding).collect())
    }
}

/// What the workers share.
struct Shared<'a> {
    plan: &'a Plan,
    next: AtomicUsize,
    rows_done: AtomicU64,
    stop: AtomicBool,
    findings: Mutex<Vec<(usize, Finding)>>,
}

impl Shared<'_> {
    fn run(&self, connection: &Connection, checks: Checks<'_>, progress: Progress<'_>) -> Result<()> {
        let result = self.take_units(connection, checks, progress);
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        result
    }

    fn take_units(&self, connection: &Connection, checks: Checks<'_>, progress: Progress<'_>) -> Result<()> {
        progress(0, self.plan.rows)?;
        // Every page is read once: a cache that stays in the processor's own serves best.
        let _cache = SmallCache::set(connection)?;
        while !self.stop.load(Ordering::Relaxed) {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = self.plan.units.get(position) else {
                break;
            };
            let finding = match *unit {
                Unit::Entries(from, to) => {
                    Finding::Entries(Box::new(self.verify_entries(connection, checks, from, to)?))
                }
                Unit::Index(key, from, to) => Finding::Index(key, sum_index(connection, key, &checks, from, to)?),
            };
            self.findings.lock().unwrap_or_else(PoisonError::into_inner).push((position, finding));
            progress(self.rows_done.load(Ordering::Relaxed).min(self.plan.rows), self.plan.rows)?;
        }
        Ok(())
    }

    fn verify_entries(&self, connection: &Connection, checks: Checks<'_>, from: i64, to: i64) -> Result<RangeReport> {
        let doing = "reading entries for verification";
        // By rowid: a forged index must not be able to hide a row.
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query((from, to)).doing(doing)?;
        let mut verifier = RangeVerifier::new(checks);
        let mut read = 0;
        while let Some(row) = rows.next().doing(doing)? {
            match verify_row(row).doing(doing)? {
                Ok(parts) => verifier.push(&parts),
                Err(why) => verifier.push_unreadable(row.get(0).unwrap_or(-1), why),
            }
            read += 1;
        }
        self.rows_done.fetch_add(read, Ordering::Relaxed);
        Ok(verifier.finish())
    }
}

/// The page cache of a connection, kept small until this is dropped.
struct SmallCache<'a> {
    connection: &'a Connection,
    before: i64,
}

impl<'a> SmallCache<'a> {
    const KIB: i64 = 256;

    fn set(connection: &'a Connection) -> Result<Self> {
        let doing = "setting the page cache for verification";
        let before = connection.pragma_query_value(None, "cache_size", |row| row.get(0)).doing(doing)?;
        connection.pragma_update(None, "cache_size", -Self::KIB).doing(doing)?;
        Ok(Self { connection, before })
    }
}

impl Drop for SmallCache<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.connection.pragma_update(None, "cache_size", self.before) {
            tracing::warn!(%error, "a connection keeps a small page cache");
        }
    }
}

/// Slices of an index table; where nothing is indexed, one look suffices to see that it is empty.
fn index_slices(key: Key, indexed_below: i64) -> Vec<Unit> {
    if indexed_below == 0 {
        return vec![Unit::Index(key, i64::MIN, i64::MAX)];
    }
    let width = i64::MAX / INDEX_SLICES * 2 + 1;
    (0..INDEX_SLICES)
        .map(|slice| {
            let from = i64::MIN.wrapping_add(slice.wrapping_mul(width));
            let to = if slice == INDEX_SLICES - 1 { i64::MAX } else { from.wrapping_add(width - 1) };
            Unit::Index(key, from, to)
        })
        .collect()
}

fn sum_index(connection: &Connection, key: Key, checks: &Checks<'_>, from: i64, to: i64) -> Result<IndexSum> {
    let doing = "reading a look-up index for verification";
    // The last slice has no upper bound: text and blobs, which no writer puts there, sort behind all numbers.
    let upper = if to == i64::MAX { "?2 = ?2" } else { "prefix <= ?2" };
    let sql = format!("SELECT prefix, seq FROM {} WHERE prefix >= ?1 AND {upper}", key.table());
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query((from, to)).doing(doing)?;
    let mut sum = IndexSum::default();
    while let Some(row) = rows.next().doing(doing)? {
        match (row.get_ref(0).doing(doing)?, row.get_ref(1).doing(doing)?) {
            (ValueRef::Integer(prefix), ValueRef::Integer(seq)) => sum.add(&checks.sum_key, prefix, seq),
            // Counts as a row that no entry accounts for.
            _ => sum.add(&checks.sum_key, i64::MIN, i64::MIN),
        }
    }
    Ok(sum)
}

/// The database's own integrity check: what an edited b-tree page would otherwise hide.
fn check_database(connection: &Connection, report: &mut VerificationReport) -> Result<()> {
    let doing = "running the database's integrity check";
    let mut statement = connection.prepare("PRAGMA integrity_check(100)").doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        let message: String = row.get(0).doing(doing)?;
        if message != "ok" {
            report.add(VerificationError {
                kind: ErrorKind::IndexMismatch,
                seq: None,
                record_id: None,
                expected: None,
                actual: Some(message),
            });
        }
    }
    Ok(())
}

fn random_sum_key() -> Result<SumKey> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::Database(format!("no randomness from the system: {error}")))?;
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        *word = u64::from_le_bytes(eight);
    }
    Ok(SumKey(words))
}
