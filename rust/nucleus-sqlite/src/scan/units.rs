//! The pieces of a scan: the database's structure, stretches of the chain, every index and the table of grants, read in
//! parallel, each on its own connection, in short reads; or all in one snapshot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use nucleus_core::verify::Row as EntryRow;
use nucleus_core::{VerificationError, VerificationReport};
use nucleus_engine::env::{Entropy, SystemEntropy};
use nucleus_engine::model::{Error, FieldIndex, Progress, Result};
use nucleus_engine::store::attended::{Course, attended};
use nucleus_engine::store::{DerivedFaults, Extent, Manner, Observer, Scan};
use rusqlite::Connection;

use super::grants::show_grants;
use crate::connect::Doing;
use crate::lookup::derived::{Derived, DerivedSums, FieldsByStream, SumKeys, Summing, Walk, walk};
use crate::lookup::index_faults::locate;
use crate::lookup::index_sum::SumKey;
use crate::lookup::runs::indexed_below;
use crate::reader::SqliteRead;
use crate::rows::{COLUMNS, verify_row};
use crate::scan::structure::check_structure;
use crate::scan::structure::index_fault;
use crate::state::SqliteStorage;

/// Rows that one worker reads in one transaction.
const UNIT_ROWS: i64 = 16_384;
/// Threads pay only from about here on; a smaller file is read in a moment.
const PARALLEL_BYTES: u64 = 16 * 1024 * 1024;
/// More readers than this do not make a scan faster.
const MAX_WORKERS: usize = 8;
/// Fewest bytes that a row of `entries` can take in a file: two hashes and a commitment.
const LEAST_ROW_BYTES: u64 = 64;
/// One piece of the work.
#[derive(Debug, Clone)]
enum Unit {
    /// The database's own check of its pages: each is in one place, each B-tree in order down to its leaves.
    Structure,
    /// A stretch of the chain: its number, and its first and last seq.
    Entries(usize, i64, i64),
    /// One index, whole.
    Index(Derived),
    /// The table of grants, whole.
    Grants,
}

/// What a piece came to.
enum Finding {
    Structure(Vec<String>),
    Entries(DerivedSums),
    Index(Derived, Walk),
    Grants(Vec<VerificationError>),
}

/// What is to be looked at.
struct Plan {
    units: Vec<Unit>,
    /// Entries below this seq are in the look-up indexes.
    indexed_below: i64,
    /// Entries below this seq are shown.
    below: i64,
    rows: u64,
}

/// What all pieces are looked at with.
struct Means<'a> {
    observer: &'a dyn Observer,
    keys: SumKeys,
    fields: FieldsByStream,
    scan: Scan,
}

impl SqliteStorage {
    /// See [`nucleus_engine::Storage::scan`].
    pub(crate) fn run_scan(
        &self,
        scan: Scan,
        observer: &dyn Observer,
        progress: Progress<'_>,
    ) -> Result<DerivedFaults> {
        match scan.manner {
            Manner::ShortReads => self.scan_in_short_reads(scan, observer, progress),
            Manner::OneSnapshot => self.scan_in_one_snapshot(scan, observer, progress),
        }
    }

    fn scan_in_short_reads(
        &self,
        scan: Scan,
        observer: &dyn Observer,
        progress: Progress<'_>,
    ) -> Result<DerivedFaults> {
        let course = Course::of(0);
        let fields = self.field_indexes();
        // The table of grants changes all the time: it is read in the state that the observer begins with.
        let mut first = self.begin_read(self.interruptible_reader(course.stop())?)?;
        let plan = self.begin_scan(&mut first, scan, &fields, observer)?;
        let workers = if self.is_large(first.connection())? { available_workers() } else { 0 };
        let shows_grants = plan.units.iter().any(|unit| matches!(unit, Unit::Grants));
        let first = Mutex::new(Some(first).filter(|_| shows_grants));
        course.extend_to(plan.rows);
        let means = Means::new(observer, &fields, scan)?;
        let next = AtomicUsize::new(0);
        let findings = attended(&course, workers, progress, &|progress| {
            let connection = self.interruptible_reader(course.stop())?;
            let work = Work { plan: &plan, means: &means, course: &course, next: &next, grants: Some(&first) };
            work.take_units(&connection, progress)
        })?;
        let mut findings: Vec<(usize, Finding)> = findings.into_iter().flatten().collect();
        findings.sort_by_key(|(position, _)| *position);
        let mut faults = DerivedFaults::default();
        if Joined::of(findings).suspect() {
            faults.of_entries.add(index_fault("something that was changed meanwhile, or is wrong".to_owned()));
        }
        Ok(faults)
    }

    fn scan_in_one_snapshot(
        &self,
        scan: Scan,
        observer: &dyn Observer,
        progress: Progress<'_>,
    ) -> Result<DerivedFaults> {
        let course = Course::of(0);
        let workers = usize::from(self.is_large(&*self.reader()?)?);
        let found = attended(&course, workers, progress, &|progress| {
            let mut read = self.begin_read(self.interruptible_reader(course.stop())?)?;
            let fields = self.field_indexes();
            let plan = self.begin_scan(&mut read, scan, &fields, observer)?;
            course.extend_to(plan.rows);
            let means = Means::new(observer, &fields, scan)?;
            let next = AtomicUsize::new(0);
            let work = Work { plan: &plan, means: &means, course: &course, next: &next, grants: None };
            let findings = work.take_units(read.connection(), progress)?;
            revisit(read.connection(), observer)?;
            faults(read.connection(), Joined::of(findings), observer)
        })?;
        found.into_iter().next().ok_or(Error::Closed)
    }

    /// Tells the observer what there is, and cuts the work into pieces. Entries appended meanwhile are not looked at.
    fn begin_scan(
        &self,
        read: &mut SqliteRead<'_>,
        scan: Scan,
        fields: &[FieldIndex],
        observer: &dyn Observer,
    ) -> Result<Plan> {
        let indexes = if scan.derived { Derived::all(fields) } else { Vec::new() };
        let mut plan = self.plan(read.connection(), indexes)?;
        let has_grants = scan.grants && self.has_grants;
        let below = u64::try_from(plan.below).unwrap_or_default();
        observer.begin(read, Extent { below, most_entries: plan.rows, has_grants })?;
        // The longest pieces first; in one snapshot, what is named needs all entries before.
        if scan.derived {
            plan.units.insert(0, Unit::Structure);
        }
        match scan.manner {
            _ if !has_grants => {}
            Manner::ShortReads => plan.units.insert(0, Unit::Grants),
            Manner::OneSnapshot => plan.units.push(Unit::Grants),
        }
        Ok(plan)
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

    fn plan(&self, connection: &Connection, indexes: Vec<Derived>) -> Result<Plan> {
        let doing = "reading the extent of the chain";
        let bound = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).doing(doing);
        let (Some(first), Some(last)) =
            (bound("SELECT min(seq) FROM entries")?, bound("SELECT max(seq) FROM entries")?)
        else {
            let units = indexes.into_iter().map(Unit::Index).collect();
            return Ok(Plan { units, indexed_below: 0, below: 0, rows: 0 });
        };
        // A file that somebody edited may say anything about its extent; it cannot hold more rows than fit. Then the chain has
        // gaps, and there is nothing that an index could be compared with.
        let most_rows = self.bytes(connection)? / LEAST_ROW_BYTES;
        let span = last.abs_diff(first).saturating_add(1);
        let below = last.saturating_add(1);
        if first < 0 || span > most_rows {
            let units = vec![Unit::Entries(0, i64::MIN, i64::MAX)];
            return Ok(Plan { units, indexed_below: 0, below, rows: most_rows });
        }
        let mut units: Vec<Unit> = indexes.into_iter().map(Unit::Index).collect();
        let (mut from, mut number) = (first, 0);
        while from <= last {
            let to = from.saturating_add(UNIT_ROWS - 1).min(last);
            units.push(Unit::Entries(number, from, to));
            (from, number) = (to + 1, number + 1);
        }
        Ok(Plan { units, indexed_below: indexed_below(connection, below)?, below, rows: span })
    }
}

fn available_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MAX_WORKERS)
}

impl<'a> Means<'a> {
    fn new(observer: &'a dyn Observer, fields: &[FieldIndex], scan: Scan) -> Result<Self> {
        Ok(Self { observer, keys: SumKeys::new(random_sum_key()?), fields: FieldsByStream::new(fields), scan })
    }
}

/// The read in whose state the table of grants is shown, until somebody takes it.
type GrantsRead<'a, 'b> = &'a Mutex<Option<SqliteRead<'b>>>;

/// What the workers share.
struct Work<'a, 'b> {
    plan: &'a Plan,
    means: &'a Means<'a>,
    course: &'a Course,
    next: &'a AtomicUsize,
    /// None where everything is read on one connection.
    grants: Option<GrantsRead<'a, 'b>>,
}

impl Work<'_, '_> {
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
                Err(Error::Store(_)) if unsound => continue,
                finding => finding?,
            };
            unsound |= matches!(&finding, Finding::Structure(faults) if !faults.is_empty());
            findings.push((position, finding));
            progress(self.course.done(), self.course.total())?;
        }
        Ok(findings)
    }

    fn take(&self, connection: &Connection, unit: &Unit) -> Result<Finding> {
        let Means { keys, fields, scan, .. } = self.means;
        Ok(match unit {
            Unit::Structure => Finding::Structure(check_structure(connection, scan.deep)?),
            Unit::Entries(number, from, to) => Finding::Entries(self.show_entries(connection, *number, *from, *to)?),
            Unit::Index(derived) => {
                let planned_below =
                    if let Derived::LookUp(_) = derived { self.plan.indexed_below } else { self.plan.below };
                Finding::Index(derived.clone(), walk(connection, derived, planned_below, keys, fields)?)
            }
            Unit::Grants => Finding::Grants(self.show_grants(connection)?),
        })
    }

    fn show_grants(&self, connection: &Connection) -> Result<Vec<VerificationError>> {
        let Some(read) = self.grants else {
            return show_grants(connection, self.means.observer);
        };
        match read.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(read) => show_grants(read.connection(), self.means.observer),
            // Each piece is taken once.
            None => Ok(Vec::new()),
        }
    }

    fn show_entries(&self, connection: &Connection, number: usize, from: i64, to: i64) -> Result<DerivedSums> {
        let doing = "reading entries for verification";
        // By rowid: a forged index must not be able to hide a row.
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query((from, to)).doing(doing)?;
        let Means { observer, keys, fields, scan } = self.means;
        let mut watcher = observer.stretch(number);
        let mut summing = Summing::new(keys, fields, self.plan.indexed_below);
        let mut read = 0;
        // A B-tree that leads in circles has more rows than there can be: they are out of order long before.
        let most = to.abs_diff(from).saturating_add(1).min(self.plan.rows);
        while read < most
            && let Some(row) = rows.next().doing(doing)?
        {
            match verify_row(row).doing(doing)? {
                Ok(parts) => {
                    if scan.derived {
                        summing.take(&parts);
                    }
                    watcher.take(&parts);
                }
                Err(why) => watcher.take_unreadable(row.get(0).unwrap_or(-1), why),
            }
            read += 1;
        }
        watcher.finish();
        self.course.advance(read);
        Ok(summing.finish())
    }
}

/// All findings, put together.
struct Joined {
    structure: Vec<String>,
    /// Of each index, what is wrong with it.
    indexes: Vec<(Derived, Option<String>)>,
    grants: Vec<VerificationError>,
}

impl Joined {
    /// From the findings in the order of the plan.
    fn of(findings: Vec<(usize, Finding)>) -> Self {
        let mut sums = DerivedSums::default();
        let (mut structure, mut walks, mut grants) = (Vec::new(), Vec::new(), Vec::new());
        for (_, finding) in findings {
            match finding {
                Finding::Structure(faults) => structure = faults,
                Finding::Entries(of_stretch) => sums += of_stretch,
                Finding::Index(derived, walk) => walks.push((derived, walk)),
                Finding::Grants(faults) => grants = faults,
            }
        }
        let indexes = walks
            .into_iter()
            .map(|(derived, walk)| {
                let wrong = match walk {
                    Walk::Wrong(what) => Some(what),
                    Walk::Ordered(sum) if sum == sums.of(&derived) => None,
                    Walk::Ordered(_) => Some("its rows are not those that the entries imply".to_owned()),
                };
                (derived, wrong)
            })
            .collect();
        Self { structure, indexes, grants }
    }

    fn suspect(&self) -> bool {
        !self.structure.is_empty() || !self.grants.is_empty() || self.indexes.iter().any(|(_, wrong)| wrong.is_some())
    }
}

/// What is wrong in a snapshot, in which `connection` still is.
fn faults(connection: &Connection, joined: Joined, observer: &dyn Observer) -> Result<DerivedFaults> {
    let Joined { structure, indexes, grants: of_grants } = joined;
    let mut report = VerificationReport::default();
    // What an entry that cannot be read implies is not known, and the database's own check names it once more.
    if !observer.all_readable() {
        return Ok(DerivedFaults { of_entries: report, of_grants });
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
    Ok(DerivedFaults { of_entries: report, of_grants })
}

/// Shows an observer the entries that it asks for once more.
fn revisit(connection: &Connection, observer: &dyn Observer) -> Result<()> {
    let doing = "looking at an entry once more";
    let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq = ?1");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    for seq in observer.revisit() {
        let mut rows = statement.query([seq]).doing(doing)?;
        let row: Option<EntryRow<'_>> = match rows.next().doing(doing)? {
            Some(row) => verify_row(row).doing(doing)?.ok(),
            None => None,
        };
        observer.revisited(seq, row.as_ref());
    }
    Ok(())
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

fn random_sum_key() -> Result<SumKey> {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes)?;
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        *word = u64::from_le_bytes(eight);
    }
    Ok(SumKey(words))
}
