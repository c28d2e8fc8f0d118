//! Chain verification: every hash, every link, every seq, recomputed from the stored parts.
//!
//! Given the stored `prev_hash` each entry can be hashed alone, so a chain is verified in ranges, in parallel, each
//! by one [`RangeVerifier`]; [`ChainVerifier`] then joins the ranges at their borders and settles what needs the whole
//! chain (redactions, the expected head).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use rayon::prelude::*;

use crate::canonical::{CanonicalJson, is_canonical, is_nested_too_deep, members};
use crate::entry::{ChainEntry, Head};
use crate::error::shortened;
use crate::hash::{Domain, Hash, Header, hash_batch, ledger_hash};
use crate::record::{MAX_ID_BYTES, MAX_STREAM_BYTES};
use crate::{FORMAT, MAX_SAFE_INTEGER, REDACTION_ID_PREFIX, REDACTIONS_STREAM};

/// How many faults a report keeps; all are counted.
pub const MAX_ERRORS_KEPT: usize = 1000;

/// What kind of fault a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The stored hash is not the hash of the stored parts.
    HashMismatch,
    /// `prev_hash` is not the hash of the entry before.
    ChainLinkBroken,
    /// An entry does not follow the one before it in `seq`.
    SequenceGap,
    /// A stored part has a form that no writer of this format produces.
    MalformedEntry,
    /// A payload is missing and no entry of the stream `redactions` says why.
    UnrecordedRedaction,
    /// A payload is present although an entry of the stream `redactions` records its erasure.
    RedactionUndone,
    /// The chain does not end where it is known to end.
    HeadMismatch,
    /// A look-up index disagrees with the entries.
    IndexMismatch,
    /// The projection of access grants disagrees with the entries.
    GrantMismatch,
}

impl ErrorKind {
    /// The name in reports: `hash_mismatch`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::HashMismatch => "hash_mismatch",
            Self::ChainLinkBroken => "chain_link_broken",
            Self::SequenceGap => "sequence_gap",
            Self::MalformedEntry => "malformed_entry",
            Self::UnrecordedRedaction => "unrecorded_redaction",
            Self::RedactionUndone => "redaction_undone",
            Self::HeadMismatch => "head_mismatch",
            Self::IndexMismatch => "index_mismatch",
            Self::GrantMismatch => "grant_mismatch",
        }
    }

    /// The kind with a given name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::HashMismatch,
            Self::ChainLinkBroken,
            Self::SequenceGap,
            Self::MalformedEntry,
            Self::UnrecordedRedaction,
            Self::RedactionUndone,
            Self::HeadMismatch,
            Self::IndexMismatch,
            Self::GrantMismatch,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationError {
    /// What kind of fault.
    pub kind: ErrorKind,
    /// Where in the chain; None where the fault has no place in it.
    pub seq: Option<i64>,
    /// Id of the record there.
    pub record_id: Option<String>,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub actual: Option<String>,
}

impl fmt::Display for VerificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(seq) = self.seq {
            write!(f, " at seq {seq}")?;
        }
        if let Some(id) = &self.record_id {
            write!(f, " (record `{}`)", shortened(id).escape_debug())?;
        }
        match (&self.expected, &self.actual) {
            (Some(expected), Some(actual)) => write!(f, ": expected {expected}, found {actual}"),
            (Some(expected), None) => write!(f, ": expected {expected}"),
            (None, Some(actual)) => write!(f, ": {actual}"),
            (None, None) => Ok(()),
        }
    }
}

/// By what the end of a chain was checked. A chain that lost its end still adds up, so nothing in it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCheck {
    /// The anchor beside the ledger.
    Anchor,
    /// A number of entries known from elsewhere.
    ExpectedLength,
    /// A head hash known from elsewhere.
    ExpectedHead,
}

impl EndCheck {
    /// The name in reports: `anchor`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::ExpectedLength => "expected_length",
            Self::ExpectedHead => "expected_head",
        }
    }

    /// The check with a given name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Anchor, Self::ExpectedLength, Self::ExpectedHead].into_iter().find(|check| check.name() == name)
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerificationReport {
    /// Entries that were read and checked.
    pub entries_checked: u64,
    /// The last entry's seq and stored hash; None for an empty chain.
    pub head: Option<Head>,
    /// At most [`MAX_ERRORS_KEPT`] faults, in chain order.
    pub errors: Vec<VerificationError>,
    /// All faults by kind.
    pub counts: BTreeMap<ErrorKind, u64>,
    /// Entries whose timestamp is smaller than that of the entry before: information, not a fault.
    pub timestamp_regressions: u64,
    /// By what the end of the chain was checked; None where nothing shows where it ends.
    pub end_checked_by: Option<EndCheck>,
}

impl VerificationReport {
    /// Whether nothing was found.
    pub fn valid(&self) -> bool {
        self.counts.is_empty()
    }

    /// Adds a fault that was found outside the chain scan.
    pub fn add(&mut self, error: VerificationError) {
        *self.counts.entry(error.kind).or_default() += 1;
        if self.errors.len() < MAX_ERRORS_KEPT {
            self.errors.push(error);
        }
    }

    /// Adds the faults of another look at the same ledger.
    pub fn append(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let room = MAX_ERRORS_KEPT - self.errors.len().min(MAX_ERRORS_KEPT);
        self.errors.extend(other.errors.into_iter().take(room));
    }

    /// Checks the end of the chain against what is known from elsewhere.
    pub fn expect_end(&mut self, expected_head: Option<&Hash>, expected_length: Option<u64>) {
        let seq = self.head.map(|head| head.seq as i64);
        let mismatch = |expected, actual| VerificationError {
            kind: ErrorKind::HeadMismatch,
            seq,
            record_id: None,
            expected: Some(expected),
            actual: Some(actual),
        };
        if expected_head.is_some() {
            self.end_checked_by = Some(EndCheck::ExpectedHead);
        } else if expected_length.is_some() {
            self.end_checked_by = Some(EndCheck::ExpectedLength);
        }
        if let Some(expected) = expected_head
            && self.head.map(|head| head.hash) != Some(*expected)
        {
            let actual = self.head.map_or_else(|| "an empty chain".to_owned(), |head| head.hash.to_string());
            self.add(mismatch(format!("head {expected}"), actual));
        }
        let length = self.entries_checked;
        if let Some(expected) = expected_length
            && length != expected
        {
            self.add(mismatch(format!("{expected} entries"), format!("{length} entries")));
        }
    }

    /// One line that says what is wrong first, for error messages.
    pub fn summary(&self) -> String {
        let total: u64 = self.counts.values().sum();
        match self.errors.first() {
            None => format!("{} entries verified", self.entries_checked),
            Some(first) if total == 1 => first.to_string(),
            Some(first) => format!("{total} faults, the first: {first}"),
        }
    }
}

/// The stored parts of one entry, as they were read: nothing about them is trusted.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Position in the chain.
    pub seq: i64,
    /// Entry format.
    pub format: i64,
    /// Stored entry hash.
    pub hash: &'a [u8],
    /// Stored hash of the entry before.
    pub prev_hash: Option<&'a [u8]>,
    /// Record id.
    pub record_id: &'a str,
    /// Stream.
    pub stream: &'a str,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Canonical payload; None once redacted.
    pub payload: Option<&'a str>,
    /// Salt of the payload commitment; None once redacted.
    pub salt: Option<&'a [u8]>,
    /// Commitment to the payload; stored only once redacted, claimed in an exported entry.
    pub payload_hash: Option<&'a [u8]>,
    /// Canonical meta.
    pub meta: Option<&'a str>,
}

/// How a verification looks at a chain.
#[derive(Debug, Clone, Copy)]
pub struct Checks<'a> {
    /// Id of the ledger that the chain must belong to.
    pub ledger_id: &'a str,
    /// Whether payload and meta are parsed and compared with their canonical form.
    pub canonical_form: bool,
    /// Whether an entry that is not redacted may carry its payload hash, as an exported one does.
    pub payload_hash_claimed: bool,
}

/// An entry at the border of a range.
#[derive(Debug, Clone, Copy)]
struct Edge {
    seq: i64,
    timestamp: i64,
    /// The outer None: malformed.
    prev_hash: Option<Option<Hash>>,
    /// None: malformed.
    hash: Option<Hash>,
}

/// How many rows are hashed together.
const BATCH_ROWS: usize = 16;

/// A row whose parts were copied into the verifier's buffers and that waits to be hashed.
#[derive(Debug)]
struct Pending {
    seq: i64,
    timestamp: i64,
    hash: Option<Hash>,
    /// The outer None: malformed.
    prev_hash: Option<Option<Hash>>,
    /// Ranges of `RangeVerifier::texts`.
    record_id: Range<usize>,
    stream: Range<usize>,
    meta: Option<Range<usize>>,
    /// Range of `RangeVerifier::commitments` that holds `salt || payload`, where there is a payload.
    commitment: Option<Range<usize>>,
    /// The stored or claimed payload hash.
    payload_hash: Option<Hash>,
    /// Why the row cannot be hashed at all.
    malformed: Option<&'static str>,
}

/// What one range came to.
#[derive(Debug, Default)]
pub struct RangeReport {
    entries: u64,
    first: Option<Edge>,
    first_record_id: String,
    last: Option<Edge>,
    errors: Vec<VerificationError>,
    counts: BTreeMap<ErrorKind, u64>,
    timestamp_regressions: u64,
    /// Entries without payload.
    redacted: Vec<Redacted>,
    /// What the entries of the stream `redactions` say was erased: seq and hash.
    recorded: Vec<(i64, Hash)>,
}

#[derive(Debug)]
struct Redacted {
    seq: i64,
    hash: Option<Hash>,
    record_id: String,
}

/// Verifies entries that are handed over in chain order, without holding on to them.
#[derive(Debug)]
pub struct RangeVerifier<'a> {
    checks: Checks<'a>,
    genesis: Hash,
    pending: Vec<Pending>,
    texts: String,
    commitments: Vec<u8>,
    preimages: Vec<u8>,
    header: String,
    report: RangeReport,
}

impl<'a> RangeVerifier<'a> {
    /// A verifier for one range of the chain.
    pub fn new(checks: Checks<'a>) -> Self {
        Self {
            checks,
            genesis: ledger_hash(checks.ledger_id),
            pending: Vec::with_capacity(BATCH_ROWS),
            texts: String::new(),
            commitments: Vec::new(),
            preimages: Vec::new(),
            header: String::new(),
            report: RangeReport::default(),
        }
    }

    /// Takes the next entry of the range.
    pub fn push(&mut self, row: &Row<'_>) {
        let malformed = self.malformation(row);
        let record_id = self.keep_text(row.record_id);
        let stream = self.keep_text(row.stream);
        let meta = row.meta.map(|meta| self.keep_text(meta));
        let commitment = match (row.salt, row.payload) {
            (Some(salt), Some(payload)) => {
                let start = self.commitments.len();
                self.commitments.extend_from_slice(salt);
                self.commitments.extend_from_slice(payload.as_bytes());
                Some(start..self.commitments.len())
            }
            _ => None,
        };
        self.pending.push(Pending {
            seq: row.seq,
            timestamp: row.timestamp,
            hash: row.hash.try_into().ok().map(Hash),
            prev_hash: match row.prev_hash {
                None => Some(None),
                Some(bytes) => bytes.try_into().ok().map(|bytes| Some(Hash(bytes))),
            },
            record_id,
            stream,
            meta,
            commitment,
            payload_hash: row.payload_hash.and_then(|bytes| bytes.try_into().ok()).map(Hash),
            malformed,
        });
        if self.pending.len() == BATCH_ROWS {
            self.flush();
        }
    }

    /// Takes an entry whose columns could not even be read as what they should be.
    pub fn push_unreadable(&mut self, seq: i64, why: &'static str) {
        let start = self.texts.len();
        self.pending.push(Pending {
            seq,
            timestamp: 0,
            hash: None,
            prev_hash: None,
            record_id: start..start,
            stream: start..start,
            meta: None,
            commitment: None,
            payload_hash: None,
            malformed: Some(why),
        });
        if self.pending.len() == BATCH_ROWS {
            self.flush();
        }
    }

    /// Ends the range.
    pub fn finish(mut self) -> RangeReport {
        self.flush();
        self.report
    }

    fn keep_text(&mut self, text: &str) -> Range<usize> {
        let start = self.texts.len();
        self.texts.push_str(text);
        start..self.texts.len()
    }

    /// Why no writer of this format can have produced the row.
    fn malformation(&self, row: &Row<'_>) -> Option<&'static str> {
        let is_hash = |bytes: &[u8]| bytes.len() == 32;
        let names_fit =
            (1..=MAX_ID_BYTES).contains(&row.record_id.len()) && (1..=MAX_STREAM_BYTES).contains(&row.stream.len());
        if row.format != i64::from(FORMAT) {
            Some("unknown entry format")
        } else if row.seq < 0 {
            Some("negative seq")
        } else if !is_hash(row.hash) {
            Some("hash is not 32 bytes")
        } else if row.prev_hash.is_some_and(|bytes| !is_hash(bytes)) {
            Some("prev_hash is not 32 bytes")
        } else if !names_fit {
            Some("record id or stream is empty or too long")
        } else if !(1..=MAX_SAFE_INTEGER).contains(&row.timestamp) {
            Some("timestamp is out of range")
        } else if row.payload_hash.is_some_and(|bytes| !is_hash(bytes)) {
            Some("payload_hash is not 32 bytes")
        } else {
            match (row.payload, row.salt, row.payload_hash) {
                (Some(_), Some(salt), None) => self.bad_salt_or_form(row, salt),
                (Some(_), Some(salt), Some(_)) if self.checks.payload_hash_claimed => self.bad_salt_or_form(row, salt),
                (None, None, Some(_)) => self.bad_form(row),
                (Some(_), Some(_), Some(_)) => Some("payload_hash is stored beside a payload"),
                (Some(_), None, _) => Some("payload without salt"),
                (None, Some(_), _) => Some("salt without payload"),
                (None, None, None) => Some("neither payload nor payload_hash"),
            }
        }
    }

    fn bad_salt_or_form(&self, row: &Row<'_>, salt: &[u8]) -> Option<&'static str> {
        if salt.len() == 16 { self.bad_form(row) } else { Some("salt is not 16 bytes") }
    }

    fn bad_form(&self, row: &Row<'_>) -> Option<&'static str> {
        let fits = |text: &str, openings: &[char]| {
            text.starts_with(openings)
                && !is_nested_too_deep(text)
                && (!self.checks.canonical_form || is_canonical(text))
        };
        if row.payload.is_some_and(|payload| !fits(payload, &['{', '['])) {
            Some("payload is not a canonical JSON object or array")
        } else if row.meta.is_some_and(|meta| !fits(meta, &['{'])) {
            Some("meta is not a canonical JSON object")
        } else {
            None
        }
    }

    /// Hashes and checks what is pending.
    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let payload_hashes = self.hash_payloads(&pending);
        let entry_hashes = self.hash_entries(&pending, &payload_hashes);
        for ((row, payload_hash), entry_hash) in pending.iter().zip(&payload_hashes).zip(&entry_hashes) {
            self.check(row, payload_hash, entry_hash);
        }
        self.pending = pending;
        self.pending.clear();
        self.texts.clear();
        self.commitments.clear();
        self.preimages.clear();
    }

    /// The commitment of each row: recomputed where the payload is there, else as stored.
    fn hash_payloads(&self, pending: &[Pending]) -> [Hash; BATCH_ROWS] {
        let mut messages: [&[u8]; BATCH_ROWS] = [&[]; BATCH_ROWS];
        for (message, row) in messages.iter_mut().zip(pending) {
            if let Some(range) = row.commitment.clone() {
                *message = &self.commitments[range];
            }
        }
        let mut hashes = [Hash([0; 32]); BATCH_ROWS];
        hash_batch(Domain::Payload, &messages[..pending.len()], &mut hashes[..pending.len()]);
        for (hash, row) in hashes.iter_mut().zip(pending) {
            if let (None, Some(stored)) = (&row.commitment, row.payload_hash) {
                *hash = stored;
            }
        }
        hashes
    }

    fn hash_entries(&mut self, pending: &[Pending], payload_hashes: &[Hash]) -> [Hash; BATCH_ROWS] {
        let mut ends = [0; BATCH_ROWS];
        for ((end, row), payload_hash) in ends.iter_mut().zip(pending).zip(payload_hashes) {
            if row.malformed.is_none() {
                self.header.clear();
                Header {
                    format: FORMAT,
                    id: &self.texts[row.record_id.clone()],
                    meta: row.meta.clone().map(|range| &self.texts[range]),
                    payload_hash,
                    seq: row.seq as u64,
                    stream: &self.texts[row.stream.clone()],
                    timestamp: row.timestamp,
                }
                .write(&mut self.header);
                self.preimages.extend_from_slice(&row.prev_hash.flatten().unwrap_or(self.genesis).0);
                self.preimages.extend_from_slice(self.header.as_bytes());
            }
            *end = self.preimages.len();
        }
        let mut messages: [&[u8]; BATCH_ROWS] = [&[]; BATCH_ROWS];
        let mut start = 0;
        for (message, end) in messages.iter_mut().zip(&ends[..pending.len()]) {
            *message = &self.preimages[start..*end];
            start = *end;
        }
        let mut hashes = [Hash([0; 32]); BATCH_ROWS];
        hash_batch(Domain::Entry, &messages[..pending.len()], &mut hashes[..pending.len()]);
        hashes
    }

    fn check(&mut self, row: &Pending, payload_hash: &Hash, entry_hash: &Hash) {
        let record_id = &self.texts[row.record_id.clone()];
        let edge = Edge { seq: row.seq, timestamp: row.timestamp, prev_hash: row.prev_hash, hash: row.hash };
        if let Some(last) = self.report.last.replace(edge) {
            self.report.check_border(&last, &edge, record_id);
        } else {
            self.report.first = Some(edge);
            record_id.clone_into(&mut self.report.first_record_id);
        }
        self.report.entries += 1;
        let error = |kind, expected: Option<String>, actual: Option<String>| VerificationError {
            kind,
            seq: Some(row.seq),
            record_id: Some(record_id.to_owned()),
            expected,
            actual,
        };
        if let Some(why) = row.malformed {
            self.report.add(error(ErrorKind::MalformedEntry, None, Some(why.to_owned())));
        } else if row.hash != Some(*entry_hash) {
            let stored = row.hash.map(|hash| hash.to_string());
            self.report.add(error(ErrorKind::HashMismatch, Some(entry_hash.to_string()), stored));
        } else if row.payload_hash.is_some_and(|claimed| claimed != *payload_hash) {
            let claimed = row.payload_hash.map(|hash| format!("payload hash {hash}"));
            self.report.add(error(ErrorKind::HashMismatch, Some(format!("payload hash {payload_hash}")), claimed));
        }
        if row.malformed.is_none() {
            self.note_redaction(row);
        }
    }

    fn note_redaction(&mut self, row: &Pending) {
        let Some(commitment) = row.commitment.clone() else {
            let record_id = self.texts[row.record_id.clone()].to_owned();
            self.report.redacted.push(Redacted { seq: row.seq, hash: row.hash, record_id });
            return;
        };
        if &self.texts[row.stream.clone()] == REDACTIONS_STREAM {
            let payload = &self.commitments[commitment.start + 16..commitment.end];
            let target = std::str::from_utf8(payload).ok().and_then(redaction_target);
            let names_it = |(_, hash): &(i64, Hash)| {
                self.texts[row.record_id.clone()].strip_prefix(REDACTION_ID_PREFIX) == Some(&hash.to_string())
            };
            self.report.recorded.extend(target.filter(names_it));
        }
    }
}

/// Which entry a record of the stream `redactions` is about: its seq and hash.
pub fn redaction_target(payload: &str) -> Option<(i64, Hash)> {
    let members = members(payload)?;
    let value = |key: &str| members.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    let hash = value("hash")?.strip_prefix('"')?.strip_suffix('"')?;
    Some((value("seq")?.parse().ok()?, Hash::from_hex(hash)?))
}

impl RangeReport {
    fn add(&mut self, error: VerificationError) {
        *self.counts.entry(error.kind).or_default() += 1;
        if self.errors.len() < MAX_ERRORS_KEPT {
            self.errors.push(error);
        }
    }

    /// Checks that `next` follows `last`.
    fn check_border(&mut self, last: &Edge, next: &Edge, next_record_id: &str) {
        let error = |kind, expected, actual| VerificationError {
            kind,
            seq: Some(next.seq),
            record_id: Some(next_record_id.to_owned()),
            expected: Some(expected),
            actual: Some(actual),
        };
        // Both may be anything in a file that somebody edited, so the addition must not overflow.
        let expected_seq = last.seq.saturating_add(1);
        if next.seq != expected_seq {
            self.add(error(ErrorKind::SequenceGap, format!("seq {expected_seq}"), format!("seq {}", next.seq)));
        }
        if next.timestamp < last.timestamp {
            self.timestamp_regressions += 1;
        }
        if let (Some(expected), Some(actual)) = (last.hash, next.prev_hash)
            && actual != Some(expected)
        {
            let actual = actual.map_or_else(|| "no prev_hash".to_owned(), |hash| hash.to_string());
            self.add(error(ErrorKind::ChainLinkBroken, expected.to_string(), actual));
        }
    }
}

/// Joins the reports of consecutive ranges to the report of a chain.
#[derive(Debug, Default)]
pub struct ChainVerifier {
    whole: RangeReport,
}

impl ChainVerifier {
    /// Takes the report of the range that follows; ranges without entries leave no trace.
    pub fn join(&mut self, range: RangeReport) {
        let Some(first) = &range.first else { return };
        match self.whole.last.take() {
            None => self.begin(first, &range.first_record_id),
            Some(last) => self.whole.check_border(&last, first, &range.first_record_id),
        }
        let whole = &mut self.whole;
        whole.last = range.last;
        whole.entries += range.entries;
        whole.timestamp_regressions += range.timestamp_regressions;
        for (kind, count) in range.counts {
            *whole.counts.entry(kind).or_default() += count;
        }
        whole.errors.extend(range.errors.into_iter().take(MAX_ERRORS_KEPT.saturating_sub(whole.errors.len())));
        whole.redacted.extend(range.redacted);
        whole.recorded.extend(range.recorded);
    }

    fn begin(&mut self, first: &Edge, record_id: &str) {
        let error = |kind, expected: &str, actual| VerificationError {
            kind,
            seq: Some(first.seq),
            record_id: Some(record_id.to_owned()),
            expected: Some(expected.to_owned()),
            actual: Some(actual),
        };
        if first.seq != 0 {
            self.whole.add(error(ErrorKind::SequenceGap, "seq 0", format!("seq {}", first.seq)));
        }
        // The chain begins here only where seq is 0; a later first entry has lost its predecessor to the gap.
        if let (0, Some(Some(prev))) = (first.seq, first.prev_hash) {
            self.whole.add(error(ErrorKind::ChainLinkBroken, "no prev_hash", prev.to_string()));
        }
    }

    /// Settles what needs the whole chain.
    pub fn finish(mut self) -> ChainFindings {
        let kept = self.check_redactions();
        let whole = self.whole;
        let mut errors = whole.errors;
        errors.sort_by_key(|error| error.seq);
        let head = whole.last.map(|last| Head {
            seq: u64::try_from(last.seq).unwrap_or_default(),
            hash: last.hash.unwrap_or(Hash([0; 32])),
        });
        let report = VerificationReport {
            entries_checked: whole.entries,
            head,
            errors,
            counts: whole.counts,
            timestamp_regressions: whole.timestamp_regressions,
            end_checked_by: None,
        };
        ChainFindings { report, not_erased: kept }
    }

    /// Reports erasures without a record; answers the records without an erasure.
    fn check_redactions(&mut self) -> Vec<(i64, Hash)> {
        let recorded: HashSet<(i64, Hash)> = self.whole.recorded.drain(..).collect();
        let mut erased = HashSet::new();
        for redacted in std::mem::take(&mut self.whole.redacted) {
            if let Some(hash) = redacted.hash.filter(|hash| recorded.contains(&(redacted.seq, *hash))) {
                erased.insert((redacted.seq, hash));
                continue;
            }
            self.whole.add(VerificationError {
                kind: ErrorKind::UnrecordedRedaction,
                seq: Some(redacted.seq),
                record_id: Some(redacted.record_id),
                expected: Some(format!("an entry of stream `{REDACTIONS_STREAM}` about it")),
                actual: Some("a missing payload".to_owned()),
            });
        }
        let mut kept: Vec<(i64, Hash)> = recorded.difference(&erased).copied().collect();
        kept.sort_unstable();
        kept
    }
}

/// What a whole chain came to.
#[derive(Debug, Default)]
pub struct ChainFindings {
    /// The report.
    pub report: VerificationReport,
    /// Seq and hash of what was erased by the word of the stream `redactions`, and was not found erased: its payload is
    /// there, or another entry is. Whoever can read single entries settles which, with [`VerificationReport::settle_erasure`].
    pub not_erased: Vec<(i64, Hash)>,
}

impl VerificationReport {
    /// Takes what stands at the seq of a recorded erasure: its hash and whether it has a payload; None where nothing does.
    /// A record about an entry that is not in the chain says nothing about any payload, and of an entry whose content is
    /// wrong that is said already.
    pub fn settle_erasure(&mut self, (seq, hash): (i64, Hash), found: Option<(Hash, bool)>) {
        let wrong = [ErrorKind::HashMismatch, ErrorKind::MalformedEntry];
        let said = self.errors.iter().any(|error| error.seq == Some(seq) && wrong.contains(&error.kind));
        if found != Some((hash, true)) || said {
            return;
        }
        self.add(VerificationError {
            kind: ErrorKind::RedactionUndone,
            seq: Some(seq),
            record_id: None,
            expected: Some(format!("no payload, as an entry of stream `{REDACTIONS_STREAM}` records")),
            actual: Some("a payload".to_owned()),
        });
    }
}

/// Verifies a whole chain held in memory, seq 0 first, on all threads of the current rayon pool.
pub fn verify_chain(entries: &[ChainEntry], ledger_id: &str) -> VerificationReport {
    const ENTRIES_PER_RANGE: usize = 4096;
    let checks = Checks { ledger_id, canonical_form: true, payload_hash_claimed: true };
    let ranges: Vec<RangeReport> = entries
        .par_chunks(ENTRIES_PER_RANGE)
        .map(|range| {
            let mut verifier = RangeVerifier::new(checks);
            for entry in range {
                verifier.push(&entry.as_row());
            }
            verifier.finish()
        })
        .collect();
    let mut chain = ChainVerifier::default();
    for range in ranges {
        chain.join(range);
    }
    let ChainFindings { mut report, not_erased, .. } = chain.finish();
    if !not_erased.is_empty() {
        let by_seq: HashMap<i64, &ChainEntry> =
            entries.iter().filter_map(|entry| Some((i64::try_from(entry.seq).ok()?, entry))).collect();
        for erased in not_erased {
            let entry = by_seq.get(&erased.0);
            report.settle_erasure(erased, entry.map(|entry| (entry.hash, !entry.redacted())));
        }
    }
    report
}

impl ChainEntry {
    /// The entry's parts as verification reads them.
    pub fn as_row(&self) -> Row<'_> {
        Row {
            // Beyond i64 no entry can be in order; the bound shows as a gap.
            seq: i64::try_from(self.seq).unwrap_or(i64::MAX),
            format: i64::from(self.format),
            hash: &self.hash.0,
            prev_hash: self.prev_hash.as_ref().map(|hash| hash.0.as_slice()),
            record_id: &self.record.id,
            stream: &self.record.stream,
            timestamp: self.record.timestamp,
            payload: self.record.payload.as_ref().map(CanonicalJson::as_str),
            salt: self.salt.as_ref().map(<[u8; 16]>::as_slice),
            payload_hash: Some(&self.payload_hash.0),
            meta: self.record.meta.as_ref().map(CanonicalJson::as_str),
        }
    }
}
