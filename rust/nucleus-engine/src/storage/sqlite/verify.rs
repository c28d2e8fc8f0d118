//! Verification of a whole database: its structure, ranges of seq and every index, read in parallel, each piece on its own
//! connection, in short reads.
//!
//! Others may write meanwhile, so a piece that was read early may not fit one that was read late. Whatever looks wrong is
//! therefore looked at again, all in one snapshot, and only what is wrong there is reported.

use std::sync::atomic::{AtomicUsize, Ordering};

use nucleus_core::index_sum::SumKey;
use nucleus_core::verify::{ChainFindings, ChainVerifier, Checks, RangeReport, RangeVerifier};
use nucleus_core::{ErrorKind, Hash, VerificationError, VerificationReport};
use rusqlite::Connection;

use super::attended::{Course, attended};
use super::connect::Doing;
use super::derived::{Derived, DerivedSums, FieldsByStream, SumKeys, Summing, Walk, implied, walk};
use super::index_faults::locate;
use super::lookup::indexed_below;
use super::rows::{COLUMNS, verify_row};
use super::{Snapshot, SqliteStorage};
use crate::error::{Error, Result};
use crate::storage::{FieldIndex, Progress};

/// Rows that one worker reads in one transaction.
const UNIT_ROWS: i64 = 16_384;
/// Threads pay only from about here on; a smaller file is read in a moment.
const PARALLEL_BYTES: u64 = 16 * 1024 * 1024;
/// More readers than this do not make a scan faster.
const MAX_WORKERS: usize = 8;
/// Fewest bytes that a row of `entries` can take in a file: two hashes and a commitment.
const LEAST_ROW_BYTES: u64 = 64;
/// Faults of the structure that are named.
const MOST_STRUCTURE_FAULTS: u32 = 100;

/// One piece of the work.
#[derive(Debug, Clone)]
enum Unit {
    /// The database's own check of its pages: each is in one place, each B-tree in order down to its leaves.
    Structure,
    /// Entries with a seq from the first to the second, both included.
    Entries(i64, i64),
    /// One index, whole.
    Index(Derived),
}

/// What a piece came to.
enum Finding {
    Structure(Vec<String>),
    Entries(Box<RangeReport>, DerivedSums),
    Index(Derived, Walk),
}

/// What is to be verified.
struct Plan {
    units: Vec<Unit>,
    /// Entries below this seq are in the look-up indexes.
    indexed_below: i64,
    /// Entries below this seq are verified.
    below: i64,
    rows: u64,
}

/// What all pieces are checked with.
struct Means<'a> {
    checks: Checks<'a>,
    keys: SumKeys,
    fields: FieldsByStream,
    deep: bool,
}

impl SqliteStorage {
    pub(super) fn run_verify(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport> {
        match self.look_in_short_reads(deep, progress) {
            Ok(report) if report.valid() => Ok(report),
            // What the database could not read may have been changed under one of the reads, too.
            Ok(_) | Err(Error::Database(_)) => self.look_in_one_snapshot(deep, progress),
            Err(error) => Err(error),
        }
    }

    /// Looks at everything in short reads on several connections. What is valid so is valid; what is not may be due to those
    /// who write meanwhile.
    fn look_in_short_reads(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport> {
        let fields = self.field_indexes();
        let (plan, workers) = {
            let connection = self.reader()?;
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let workers = if self.is_large(&connection)? { cores.clamp(1, MAX_WORKERS) } else { 0 };
            (self.plan(&connection, Derived::all(&fields))?, workers)
        };
        let means = self.means(&plan, &fields, deep)?;
        let course = Course::of(plan.rows);
        let next = AtomicUsize::new(0);
        let findings = attended(&course, workers, progress, &|progress| {
            let connection = self.interruptible_reader(course.stop())?;
            let work = Work { plan: &plan, means: &means, course: &course, next: &next };
            work.take_units(&connection, progress)
        })?;
        let mut findings: Vec<(usize, Finding)> = findings.into_iter().flatten().collect();
        findings.sort_by_key(|(position, _)| *position);
        let joined = Joined::of(findings);
        let suspect = joined.suspect() || !joined.chain.not_erased.is_empty();
        let mut report = joined.chain.report;
        if suspect && report.valid() {
            report.add(index_fault("something that was changed meanwhile, or is wrong".to_owned()));
        }
        Ok(report)
    }

    /// Looks at everything in one snapshot: what is wrong there is wrong.
    fn look_in_one_snapshot(&self, deep: bool, progress: Progress<'_>) -> Result<VerificationReport> {
        let course = Course::of(0);
        let workers = usize::from(self.is_large(&*self.reader()?)?);
        let reports = attended(&course, workers, progress, &|progress| {
            let connection = self.interruptible_reader(course.stop())?;
            let snapshot = Snapshot::begin(&connection)?;
            let fields = self.field_indexes();
            let plan = self.plan(&connection, Derived::all(&fields))?;
            course.extend_to(plan.rows);
            let means = self.means(&plan, &fields, deep)?;
            let next = AtomicUsize::new(0);
            let work = Work { plan: &plan, means: &means, course: &course, next: &next };
            let report = report(&connection, Joined::of(work.take_units(&connection, progress)?))?;
            // Ending it has nothing to say that could matter more than what was found.
            drop(snapshot);
            Ok(report)
        })?;
        reports.into_iter().next().ok_or(Error::Closed)
    }

    fn is_large(&self, connection: &Connection) -> Result<bool> {
        Ok(self.bytes(connection)? >= PARALLEL_BYTES)
    }

    fn bytes(&self, connection: &Connection) -> Result<u64> {
        let pages: i64 = connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .doing("reading the size of the database")?;
        Ok((pages as u64).saturating_mul(self.page_bytes))
    }

    fn means<'a>(&'a self, plan: &Plan, fields: &[FieldIndex], deep: bool) -> Result<Means<'a>> {
        let sum_key = random_sum_key()?;
        let checks = Checks {
            ledger_id: &self.info.id,
            canonical_form: deep,
            payload_hash_claimed: false,
            indexed_below: plan.indexed_below,
            sum_key,
        };
        Ok(Means { checks, keys: SumKeys::new(sum_key), fields: FieldsByStream::new(fields), deep })
    }

    /// Cuts the work into pieces. Entries appended meanwhile are not looked at.
    fn plan(&self, connection: &Connection, indexes: Vec<Derived>) -> Result<Plan> {
        let doing = "reading the extent of the chain";
        let bound = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).doing(doing);
        // The longest piece first.
        let mut units = vec![Unit::Structure];
        let (Some(first), Some(last)) =
            (bound("SELECT min(seq) FROM entries")?, bound("SELECT max(seq) FROM entries")?)
        else {
            units.extend(indexes.into_iter().map(Unit::Index));
            return Ok(Plan { units, indexed_below: 0, below: 0, rows: 0 });
        };
        // A file that somebody edited may say anything about its extent; it cannot hold more rows than fit. Then the chain has
        // gaps, and there is nothing that an index could be compared with.
        let most_rows = self.bytes(connection)? / LEAST_ROW_BYTES;
        let span = last.abs_diff(first).saturating_add(1);
        let below = last.saturating_add(1);
        if first < 0 || span > most_rows {
            units.push(Unit::Entries(i64::MIN, i64::MAX));
            return Ok(Plan { units, indexed_below: 0, below, rows: most_rows });
        }
        units.extend(indexes.into_iter().map(Unit::Index));
        let mut from = first;
        while from <= last {
            let to = from.saturating_add(UNIT_ROWS - 1).min(last);
            units.push(Unit::Entries(from, to));
            from = to + 1;
        }
        Ok(Plan { units, indexed_below: indexed_below(connection, below)?, below, rows: span })
    }
}

/// What the workers share.
struct Work<'a> {
    plan: &'a Plan,
    means: &'a Means<'a>,
    course: &'a Course,
    next: &'a AtomicUsize,
}

impl Work<'_> {
    /// Takes pieces of the plan while there are any; answers each with its position.
    fn take_units(&self, connection: &Connection, progress: Progress<'_>) -> Result<Vec<(usize, Finding)>> {
        // Every page is read once: a cache that stays in the processor's own serves best.
        let _cache = SmallCache::set(connection)?;
        let mut findings = Vec::new();
        let mut unsound = false;
        while !self.course.stopped() {
            let position = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = self.plan.units.get(position) else {
                break;
            };
            let finding = match self.take(connection, unit) {
                // What is in no order cannot be read in order: that is said already.
                Err(Error::Database(_)) if unsound => continue,
                finding => finding?,
            };
            unsound |= matches!(&finding, Finding::Structure(faults) if !faults.is_empty());
            findings.push((position, finding));
            progress(self.course.done(), self.course.total())?;
        }
        Ok(findings)
    }

    fn take(&self, connection: &Connection, unit: &Unit) -> Result<Finding> {
        let Means { keys, fields, deep, .. } = self.means;
        Ok(match unit {
            Unit::Structure => Finding::Structure(check_structure(connection, *deep)?),
            Unit::Entries(from, to) => self.verify_entries(connection, *from, *to)?,
            Unit::Index(derived) => {
                let planned_below =
                    if let Derived::LookUp(_) = derived { self.plan.indexed_below } else { self.plan.below };
                Finding::Index(derived.clone(), walk(connection, derived, planned_below, keys, fields)?)
            }
        })
    }

    fn verify_entries(&self, connection: &Connection, from: i64, to: i64) -> Result<Finding> {
        let doing = "reading entries for verification";
        // By rowid: a forged index must not be able to hide a row.
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query((from, to)).doing(doing)?;
        let mut verifier = RangeVerifier::new(self.means.checks);
        let mut summing = Summing::new(&self.means.keys, &self.means.fields);
        let mut read = 0;
        // A B-tree that leads in circles has more rows than there can be: they are out of order long before.
        let most = to.abs_diff(from).saturating_add(1).min(self.plan.rows);
        while read < most
            && let Some(row) = rows.next().doing(doing)?
        {
            match verify_row(row).doing(doing)? {
                Ok(parts) => {
                    summing.take(&parts);
                    verifier.push(&parts);
                }
                Err(why) => verifier.push_unreadable(row.get(0).unwrap_or(-1), why),
            }
            read += 1;
        }
        self.course.advance(read);
        Ok(Finding::Entries(Box::new(verifier.finish()), summing.finish()))
    }
}

/// All findings, put together.
struct Joined {
    chain: ChainFindings,
    structure: Vec<String>,
    /// Of each index, what is wrong with it.
    indexes: Vec<(Derived, Option<String>)>,
}

impl Joined {
    /// From the findings in the order of the plan.
    fn of(findings: Vec<(usize, Finding)>) -> Self {
        let mut chain = ChainVerifier::default();
        let mut sums = DerivedSums::default();
        let (mut structure, mut walks) = (Vec::new(), Vec::new());
        for (_, finding) in findings {
            match finding {
                Finding::Structure(faults) => structure = faults,
                Finding::Entries(range, of_range) => {
                    chain.join(*range);
                    sums += of_range;
                }
                Finding::Index(derived, walk) => walks.push((derived, walk)),
            }
        }
        let chain = chain.finish();
        let indexes = walks
            .into_iter()
            .map(|(derived, walk)| {
                let wrong = match walk {
                    Walk::Wrong(what) => Some(what),
                    Walk::Ordered(sum) if sum == implied(&derived, &sums, &chain.sums) => None,
                    Walk::Ordered(_) => Some("its rows are not those that the entries imply".to_owned()),
                };
                (derived, wrong)
            })
            .collect();
        Self { chain, structure, indexes }
    }

    /// Whether anything besides the chain itself looks wrong.
    fn suspect(&self) -> bool {
        !self.structure.is_empty() || self.indexes.iter().any(|(_, wrong)| wrong.is_some())
    }
}

/// The report on a snapshot, in which `connection` still is.
fn report(connection: &Connection, joined: Joined) -> Result<VerificationReport> {
    let Joined { chain: ChainFindings { mut report, not_erased, .. }, structure, indexes } = joined;
    for erased in not_erased {
        report.settle_erasure(erased, payload_at(connection, erased.0)?);
    }
    // What an entry that cannot be read implies is not known, and the database's own check names it once more.
    if report.counts.contains_key(&ErrorKind::MalformedEntry) {
        return Ok(report);
    }
    let sound = structure.is_empty();
    for what in structure {
        report.add(index_fault(what));
    }
    let look_ups_differ =
        indexes.iter().any(|(derived, wrong)| matches!(derived, Derived::LookUp(_)) && wrong.is_some());
    // Naming rows takes searches, which find nothing for certain in what is in no order.
    if sound && look_ups_differ {
        locate(connection, &mut report)?;
    }
    for (derived, wrong) in indexes {
        if let Some(what) = wrong
            && !(sound && matches!(derived, Derived::LookUp(_)))
        {
            report.add(index_fault(format!("index {}: {what}", derived.name())));
        }
    }
    Ok(report)
}

/// The hash at a seq, and whether the entry has a payload.
fn payload_at(connection: &Connection, seq: i64) -> Result<Option<(Hash, bool)>> {
    let doing = "looking at an entry that is recorded as erased";
    let sql = "SELECT hash, payload IS NOT NULL FROM entries NOT INDEXED WHERE seq = ?1";
    let mut statement = connection.prepare_cached(sql).doing(doing)?;
    let mut rows = statement.query([seq]).doing(doing)?;
    let Some(row) = rows.next().doing(doing)? else { return Ok(None) };
    // A hash of another type or length is no hash.
    let hash = row.get_ref(0).doing(doing)?.as_blob().ok().and_then(|hash| hash.try_into().ok()).map(Hash);
    Ok(hash.zip(Some(row.get(1).doing(doing)?)))
}

fn index_fault(what: String) -> VerificationError {
    let kind = ErrorKind::IndexMismatch;
    VerificationError { kind, seq: None, record_id: None, expected: None, actual: Some(what) }
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

/// The database's own check of its structure: what an edited page would otherwise hide from searches. A `deep` one compares
/// the indexes with their tables in the database's own way as well.
fn check_structure(connection: &Connection, deep: bool) -> Result<Vec<String>> {
    let doing = "running the database's integrity check";
    let check = if deep { "integrity_check" } else { "quick_check" };
    let mut statement = connection.prepare(&format!("PRAGMA {check}({MOST_STRUCTURE_FAULTS})")).doing(doing)?;
    let mut rows = statement.query([]).doing(doing)?;
    let mut faults = Vec::new();
    loop {
        let message: String = match rows.next() {
            Ok(None) => break,
            Ok(Some(row)) => row.get(0).doing(doing)?,
            // What is so damaged that the check itself gives up.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                faults.push(error.to_string());
                break;
            }
            Err(error) => return Err(error).doing(doing),
        };
        // One row may hold what it says of many pages, a line each.
        let lines = message.lines().filter(|line| *line != "ok" && !line.starts_with("***"));
        faults.extend(lines.take(MOST_STRUCTURE_FAULTS as usize).map(str::to_owned));
    }
    Ok(faults)
}

/// The first thing that is wrong with the structure of a database.
pub(super) fn structure_fault(connection: &Connection) -> Result<Option<VerificationError>> {
    Ok(check_structure(connection, false)?.into_iter().next().map(index_fault))
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
