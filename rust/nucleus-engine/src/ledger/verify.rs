//! Verification: chain, grants, and what the storage derives, all observing one scan.
//!
//! Others may write meanwhile, so a stretch that was read early may not fit one that was read late. Whatever looks wrong is
//! therefore looked at again, all in one snapshot, and only what is wrong there is reported.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nucleus_core::verify::{ChainFindings, ChainVerifier, Checks, RangeReport, RangeVerifier, Row};
use nucleus_core::{ErrorKind, Hash, VerificationError, VerificationReport};

use crate::access::{Findings, GrantsCheck, GrantsWatcher, Pass, Secrets};
use crate::model::{Error, Grant, Progress, Result, RuledStream};
use crate::module::built_in_kinds;
use crate::store::{DerivedFaults, Extent, Manner, Observer, Read, Scan, Storage, Watcher};

/// Entries of one pass where nothing else is said.
const ENTRIES_PER_PASS: u64 = 2_000_000;

/// What is wanted of a verification. By default: the chain and what the storage derives from it, without grants.
#[derive(Debug, Clone, Copy)]
pub struct VerifyOptions {
    /// Whether canonical forms, and the storage's structures in its own way, are checked too.
    pub deep: bool,
    /// The second by which grants count, since the Unix epoch, where they are compared with the chain.
    pub grants_at: Option<i64>,
    /// Entries of which the resources are kept in one pass over the chain while the grants are compared: what bounds the
    /// memory, at some 100 bytes each. There are as many passes as that takes. At least 1.
    pub entries_per_pass: u64,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { deep: false, grants_at: None, entries_per_pass: ENTRIES_PER_PASS }
    }
}

/// What a verification found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Of the chain and of what the storage derives from it.
    pub(super) report: VerificationReport,
    /// Of the grants.
    pub(super) grant_faults: Vec<VerificationError>,
}

impl Looked {
    fn sound(&self) -> bool {
        self.report.valid() && self.grant_faults.is_empty()
    }
}

/// Verifies what is in a storage: what is wrong with the chain first, then with the grants.
///
/// # Errors
/// Those of the storage and of `progress`.
pub fn verify_storage(
    storage: &dyn Storage,
    options: VerifyOptions,
    progress: Progress<'_>,
) -> Result<VerificationReport> {
    let Looked { mut report, grant_faults } = look_at_everything(storage, options, progress)?;
    for fault in grant_faults {
        report.add(fault);
    }
    Ok(report)
}

/// Verifies everything: in short reads and, where that leaves any doubt, in one snapshot.
pub(super) fn look_at_everything(
    storage: &dyn Storage,
    wanted: VerifyOptions,
    progress: Progress<'_>,
) -> Result<Looked> {
    match look(storage, wanted, Manner::ShortReads, progress) {
        Ok(looked) if looked.sound() => Ok(looked),
        // What the storage could not read may have been changed under one of the reads, too.
        Ok(_) | Err(Error::Store(_)) => look(storage, wanted, Manner::OneSnapshot, progress),
        Err(error) => Err(error),
    }
}

fn look(storage: &dyn Storage, wanted: VerifyOptions, manner: Manner, progress: Progress<'_>) -> Result<Looked> {
    let (secrets, built_in) = (Arc::new(Secrets::default()), built_in_kinds());
    let with = With { ledger_id: &storage.described().ledger_id, wanted, manner, secrets, built_in: &built_in };
    let verification = Verification::new(&with, Some(ChainVerifier::default()), (0, None));
    let scan = Scan { manner, derived: true, deep: wanted.deep, grants: wanted.grants_at.is_some() };
    let derived = storage.scan(scan, &verification, progress)?;
    let passes = verification.grants.get().map_or(1, GrantsCheck::passes);
    let mut looked = verification.finish(derived);
    if manner == Manner::ShortReads && !looked.sound() {
        return Ok(looked);
    }
    for pass in 1..passes {
        let of_grants = Verification::new(&with, None, (pass, Some(passes)));
        storage.scan(Scan { derived: false, ..scan }, &of_grants, progress)?;
        looked.grant_faults.append(&mut of_grants.finish(DerivedFaults::default()).grant_faults);
    }
    Ok(looked)
}

/// What all passes of a verification share.
struct With<'a> {
    ledger_id: &'a str,
    wanted: VerifyOptions,
    manner: Manner,
    secrets: Arc<Secrets>,
    built_in: &'a [RuledStream],
}

/// One pass: observes a scan.
struct Verification<'a> {
    with: &'a With<'a>,
    /// None in a pass over the grants alone.
    chain: Option<Mutex<Chain>>,
    /// Which pass over the grants, and of how many, where that is known.
    pass: (u64, Option<u64>),
    grants: OnceLock<GrantsCheck>,
    findings: Mutex<InOrder<Findings>>,
}

/// The chain, as far as it has been joined.
#[derive(Default)]
struct Chain {
    verifier: Option<ChainVerifier>,
    ranges: InOrder<RangeReport>,
    found: Option<ChainFindings>,
    /// Hash of an entry, and whether it has a payload.
    revisited: HashMap<i64, (Hash, bool)>,
}

impl Chain {
    /// What the chain came to; all stretches are finished.
    fn found(&mut self) -> &mut ChainFindings {
        let verifier = &mut self.verifier;
        self.found.get_or_insert_with(|| verifier.take().unwrap_or_default().finish())
    }
}

/// Takes what comes from several threads in the order of its numbers.
struct InOrder<T> {
    next: usize,
    early: BTreeMap<usize, T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }
}

impl<T> InOrder<T> {
    fn push(&mut self, number: usize, item: T, mut take: impl FnMut(T)) {
        self.early.insert(number, item);
        while let Some(item) = self.early.remove(&self.next) {
            self.next += 1;
            take(item);
        }
    }
}

impl<'a> Verification<'a> {
    fn new(with: &'a With<'a>, verifier: Option<ChainVerifier>, pass: (u64, Option<u64>)) -> Self {
        let chain = verifier.map(|verifier| Mutex::new(Chain { verifier: Some(verifier), ..Chain::default() }));
        Self { with, chain, pass, grants: OnceLock::new(), findings: Mutex::default() }
    }

    fn finish(self, derived: DerivedFaults) -> Looked {
        let DerivedFaults { of_entries, of_grants: mut grant_faults } = derived;
        grant_faults.extend(self.grants.into_inner().map(GrantsCheck::finish).unwrap_or_default());
        let report = self.chain.map(|chain| {
            let mut chain = chain.into_inner().unwrap_or_else(PoisonError::into_inner);
            report(self.with.manner, &mut chain, of_entries)
        });
        Looked { report: report.unwrap_or_default(), grant_faults }
    }
}

fn report(manner: Manner, chain: &mut Chain, derived: VerificationReport) -> VerificationReport {
    let ChainFindings { report, not_erased } = std::mem::take(chain.found());
    let mut report = report;
    match manner {
        // It is settled in one snapshot.
        Manner::ShortReads if !not_erased.is_empty() && report.valid() => {
            let (seq, _) = not_erased[0];
            let kind = ErrorKind::RedactionUndone;
            report.add(VerificationError { kind, seq: Some(seq), record_id: None, expected: None, actual: None });
        }
        Manner::ShortReads => {}
        Manner::OneSnapshot => {
            for erased in not_erased {
                let found = chain.revisited.get(&erased.0).copied();
                report.settle_erasure(erased, found);
            }
        }
    }
    // What an entry that cannot be read implies is not known.
    if !report.counts.contains_key(&ErrorKind::MalformedEntry) {
        report.append(derived);
    }
    report
}

impl Observer for Verification<'_> {
    fn begin(&self, read: &mut dyn Read, extent: Extent) -> Result<()> {
        let With { wanted, manner, secrets, built_in, .. } = self.with;
        let Some(now_s) = wanted.grants_at.filter(|_| extent.has_grants) else {
            return Ok(());
        };
        let (pass, passes) = self.pass;
        let entries = extent.below.min(extent.most_entries);
        let passes = passes.unwrap_or_else(|| entries.div_ceil(wanted.entries_per_pass.max(1)).max(1));
        let naming = *manner == Manner::OneSnapshot;
        let with = (Arc::clone(secrets), *built_in);
        let check = GrantsCheck::begin(read, extent, Pass { pass, passes }, with, (now_s, naming))?;
        // A scan begins once.
        self.grants.set(check).map_err(|_| Error::Closed)
    }

    fn stretch(&self, number: usize) -> Box<dyn Watcher + '_> {
        let With { ledger_id, wanted, .. } = self.with;
        let checks = Checks { ledger_id, canonical_form: wanted.deep, payload_hash_claimed: false };
        Box::new(Stretch {
            verification: self,
            number,
            range: self.chain.as_ref().map(|_| RangeVerifier::new(checks)),
            grants: self.grants.get().and_then(GrantsCheck::watch),
        })
    }

    fn grant(&self, grant: &Grant) {
        if let Some(grants) = self.grants.get() {
            grants.stored(grant);
        }
    }

    fn revisit(&self) -> Vec<i64> {
        let Some(chain) = &self.chain else { return Vec::new() };
        lock(chain).found().not_erased.iter().map(|(seq, _)| *seq).collect()
    }

    fn revisited(&self, seq: i64, row: Option<&Row<'_>>) {
        let (Some(chain), Some(row)) = (&self.chain, row) else { return };
        // A hash of another length is no hash.
        if let Ok(hash) = row.hash.try_into() {
            lock(chain).revisited.insert(seq, (Hash(hash), row.payload.is_some()));
        }
    }

    fn all_readable(&self) -> bool {
        let Some(chain) = &self.chain else { return true };
        !lock(chain).found().report.counts.contains_key(&ErrorKind::MalformedEntry)
    }
}

/// Watches one stretch for everything that is verified.
struct Stretch<'a> {
    verification: &'a Verification<'a>,
    number: usize,
    range: Option<RangeVerifier<'a>>,
    grants: Option<GrantsWatcher<'a>>,
}

impl Watcher for Stretch<'_> {
    fn take(&mut self, row: &Row<'_>) {
        if let Some(range) = &mut self.range {
            range.push(row);
        }
        if let Some(grants) = &mut self.grants {
            grants.take(row);
        }
    }

    fn take_unreadable(&mut self, seq: i64, why: &'static str) {
        if let Some(range) = &mut self.range {
            range.push_unreadable(seq, why);
        }
    }

    fn finish(self: Box<Self>) {
        let Self { verification, number, range, grants } = *self;
        if let (Some(range), Some(chain)) = (range, &verification.chain) {
            let report = range.finish();
            let mut chain = lock(chain);
            let Chain { verifier, ranges, .. } = &mut *chain;
            ranges.push(number, report, |range| {
                if let Some(verifier) = verifier {
                    verifier.join(range);
                }
            });
        }
        if let (Some(watcher), Some(check)) = (grants, verification.grants.get()) {
            let found = watcher.finish();
            lock(&verification.findings).push(number, found, |findings| check.join(findings));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
