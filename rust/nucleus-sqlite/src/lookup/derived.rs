//! The indexes whose content follows from the entries: what they must hold, and reading what they do hold.
//!
//! An index answers rightly when its rows, walked from the first to the last, are strictly ascending and are just those that
//! the entries imply: then every search in it finds. The order is checked row by row; that the rows are the implied ones, by
//! sums under secret keys, for which nothing has to be kept or sorted. The walk uses no search, which could be led astray.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash as _, Hasher, RandomState};
use std::ops::AddAssign;

use nucleus_core::Hash;
use nucleus_core::canonical;
use nucleus_core::hash::{Domain, hash_batch};
use nucleus_core::verify::Row as EntryRow;
use nucleus_engine::model::{FieldIndex, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::connect::Doing;
use crate::lookup::field_index;
use crate::lookup::index_sum::{IndexSum, SumKey};
use crate::lookup::runs::{Key, indexed_below, prefix_of, record_id_prefix};
use crate::rows::committed_below;
use crate::rows::{COLUMNS, verify_row};
use crate::statements::Snapshot;

/// One index over the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Derived {
    /// The table of one look-up key; it holds the entries of whole runs.
    LookUp(Key),
    Stream,
    Timestamp,
    /// Over payload members; the position is that among all declared ones.
    Field(usize, FieldIndex),
}

impl Derived {
    /// All there are, in a database with these declared indexes.
    pub(crate) fn all(fields: &[FieldIndex]) -> Vec<Self> {
        let plain = [Self::LookUp(Key::Hash), Self::LookUp(Key::RecordId), Self::Stream, Self::Timestamp];
        let fields = fields.iter().cloned().enumerate().map(|(position, index)| Self::Field(position, index));
        plain.into_iter().chain(fields).collect()
    }

    /// Its name in the schema.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::LookUp(key) => key.table().to_owned(),
            Self::Stream => "entries_stream".to_owned(),
            Self::Timestamp => "entries_timestamp".to_owned(),
            Self::Field(_, index) => field_index::name(index),
        }
    }

    /// Its rows in its own order, each with the seq last. Without ORDER BY: sorting would hide a wrong order.
    fn select(&self) -> String {
        match self {
            Self::LookUp(key) => format!("SELECT prefix, seq FROM {} NOT INDEXED", key.table()),
            Self::Stream => "SELECT stream, seq FROM entries INDEXED BY entries_stream".to_owned(),
            Self::Timestamp => "SELECT timestamp, seq FROM entries INDEXED BY entries_timestamp".to_owned(),
            Self::Field(_, index) => {
                let members: Vec<String> = index.fields().iter().map(|field| field_index::expression(field)).collect();
                format!(
                    "SELECT {}, seq FROM entries INDEXED BY \"{}\" WHERE stream = '{}'",
                    members.join(", "),
                    field_index::name(index),
                    index.stream()
                )
            }
        }
    }

    /// Seqs below this one are in it, as a snapshot shows it.
    fn extent(&self, connection: &Connection) -> Result<i64> {
        let length = committed_below(connection)?;
        match self {
            Self::LookUp(_) => indexed_below(connection, length),
            _ => Ok(length),
        }
    }
}

/// The secrets of one verification: nobody can prepare rows whose sums cancel out.
pub(crate) struct SumKeys {
    pub(crate) numbers: SumKey,
    first: RandomState,
    second: RandomState,
}

impl SumKeys {
    pub(crate) fn new(numbers: SumKey) -> Self {
        Self { numbers, first: RandomState::new(), second: RandomState::new() }
    }

    fn digest<'a>(&self, texts: &(impl Iterator<Item = Option<&'a [u8]>> + Clone)) -> [u64; 2] {
        [&self.first, &self.second].map(|state| {
            let mut hasher = state.build_hasher();
            for text in texts.clone() {
                text.hash(&mut hasher);
            }
            hasher.finish()
        })
    }
}

/// Sums over what entries imply for the indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DerivedSums {
    by_hash: IndexSum,
    by_id: IndexSum,
    by_stream: IndexSum,
    by_timestamp: IndexSum,
    fields: Vec<IndexSum>,
}

impl DerivedSums {
    /// What they imply for one.
    pub(crate) fn of(&self, derived: &Derived) -> IndexSum {
        match derived {
            Derived::LookUp(Key::Hash) => self.by_hash,
            Derived::LookUp(Key::RecordId) => self.by_id,
            Derived::Stream => self.by_stream,
            Derived::Timestamp => self.by_timestamp,
            Derived::Field(position, _) => self.fields.get(*position).copied().unwrap_or_default(),
        }
    }
}

impl AddAssign for DerivedSums {
    fn add_assign(&mut self, other: Self) {
        self.by_hash += other.by_hash;
        self.by_id += other.by_id;
        self.by_stream += other.by_stream;
        self.by_timestamp += other.by_timestamp;
        self.fields.resize(self.fields.len().max(other.fields.len()), IndexSum::default());
        for (sum, other) in self.fields.iter_mut().zip(other.fields) {
            *sum += other;
        }
    }
}

/// The declared indexes, by the stream they are over.
#[derive(Debug, Default)]
pub(crate) struct FieldsByStream {
    count: usize,
    by_stream: HashMap<String, Vec<(usize, FieldIndex)>>,
}

impl FieldsByStream {
    pub(crate) fn new(fields: &[FieldIndex]) -> Self {
        let mut by_stream: HashMap<String, Vec<(usize, FieldIndex)>> = HashMap::new();
        for (position, index) in fields.iter().enumerate() {
            by_stream.entry(index.stream().to_owned()).or_default().push((position, index.clone()));
        }
        Self { count: fields.len(), by_stream }
    }
}

/// The digest of a stream's name, kept for the next row: most share it.
struct StreamDigest<'a> {
    keys: &'a SumKeys,
    stream: Vec<u8>,
    digest: [u64; 2],
}

impl<'a> StreamDigest<'a> {
    fn new(keys: &'a SumKeys) -> Self {
        Self { keys, stream: Vec::new(), digest: keys.digest(&std::iter::once(Some(&[][..]))) }
    }

    fn of(&mut self, stream: &[u8]) -> [u64; 2] {
        if self.stream != stream {
            self.stream.clear();
            self.stream.extend_from_slice(stream);
            self.digest = self.keys.digest(&std::iter::once(Some(stream)));
        }
        self.digest
    }
}

/// How many record ids are hashed together.
const BATCH_IDS: usize = 16;

/// Record ids that wait to be hashed: their bytes side by side, and of each the seq and where its bytes end.
#[derive(Debug, Default)]
struct PendingIds {
    bytes: Vec<u8>,
    ends: Vec<(i64, usize)>,
}

impl PendingIds {
    fn push(&mut self, seq: i64, id: &str) {
        self.bytes.extend_from_slice(id.as_bytes());
        self.ends.push((seq, self.bytes.len()));
    }

    /// Adds what waits to the sum of the look-up by id.
    fn flush(&mut self, key: &SumKey, sum: &mut IndexSum) {
        let mut messages: [&[u8]; BATCH_IDS] = [&[]; BATCH_IDS];
        let mut hashes = [Hash([0; 32]); BATCH_IDS];
        let (mut start, count) = (0, self.ends.len());
        for (message, (_, end)) in messages.iter_mut().zip(&self.ends) {
            *message = &self.bytes[start..*end];
            start = *end;
        }
        hash_batch(Domain::Plain, &messages[..count], &mut hashes[..count]);
        for ((seq, _), hash) in self.ends.iter().zip(&hashes) {
            sum.add(key, prefix_of(hash), *seq);
        }
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Sums up what entries imply.
pub(crate) struct Summing<'a> {
    keys: &'a SumKeys,
    fields: &'a FieldsByStream,
    /// Entries below this seq are in the look-up indexes.
    indexed_below: i64,
    sums: DerivedSums,
    stream: StreamDigest<'a>,
    ids: PendingIds,
}

impl<'a> Summing<'a> {
    pub(crate) fn new(keys: &'a SumKeys, fields: &'a FieldsByStream, indexed_below: i64) -> Self {
        let sums = DerivedSums { fields: vec![IndexSum::default(); fields.count], ..DerivedSums::default() };
        Self { keys, fields, indexed_below, sums, stream: StreamDigest::new(keys), ids: PendingIds::default() }
    }

    pub(crate) fn take(&mut self, row: &EntryRow<'_>) {
        if row.seq < self.indexed_below {
            if let Ok(hash) = row.hash.try_into() {
                self.sums.by_hash.add(&self.keys.numbers, prefix_of(&Hash(hash)), row.seq);
            }
            self.ids.push(row.seq, row.record_id);
            if self.ids.ends.len() == BATCH_IDS {
                self.ids.flush(&self.keys.numbers, &mut self.sums.by_id);
            }
        }
        let digest = self.stream.of(row.stream.as_bytes());
        self.sums.by_stream.add_digest(&self.keys.numbers, digest, row.seq);
        self.sums.by_timestamp.add(&self.keys.numbers, row.timestamp, row.seq);
        if let Some(indexes) = self.fields.by_stream.get(row.stream) {
            // As SQLite has it: a member that is not there, or of a payload that is erased or no object, is NULL.
            let members = row.payload.and_then(canonical::members).unwrap_or_default();
            let value =
                |field: &String| members.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_bytes());
            for (position, index) in indexes {
                let digest = self.keys.digest(&index.fields().iter().map(value));
                self.sums.fields[*position].add_digest(&self.keys.numbers, digest, row.seq);
            }
        }
    }

    pub(crate) fn finish(mut self) -> DerivedSums {
        self.ids.flush(&self.keys.numbers, &mut self.sums.by_id);
        self.sums
    }
}

/// What a walk through an index came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Strictly ascending; the sum over the rows with seqs below the one that was asked for. What else it holds is what the
    /// entries imply.
    Ordered(IndexSum),
    /// What is wrong already.
    Wrong(String),
}

/// Walks through an index. Rows of entries from `planned_below` on, which others have appended since, are compared with those
/// entries at once: all in one snapshot, where the caller has begun one in theirs.
pub(crate) fn walk(
    connection: &Connection,
    derived: &Derived,
    planned_below: i64,
    keys: &SumKeys,
    fields: &FieldsByStream,
) -> Result<Walk> {
    let doing = "reading an index for verification";
    let _snapshot = if connection.is_autocommit() { Some(Snapshot::begin(connection)?) } else { None };
    let mut statement = connection.prepare_cached(&derived.select()).doing(doing)?;
    let columns = statement.column_count();
    let (mut planned, mut later) = (IndexSum::default(), IndexSum::default());
    let mut ascending = Ascending::default();
    let mut stream = StreamDigest::new(keys);
    let mut rows = statement.query([]).doing(doing)?;
    while let Some(row) = rows.next().doing(doing)? {
        if !ascending.takes(row, columns).doing(doing)? {
            return Ok(Walk::Wrong("its rows are out of order, so that searches miss some".to_owned()));
        }
        let Some((digest, seq)) = digest_of(derived, row, columns, keys, &mut stream).doing(doing)? else {
            return Ok(Walk::Wrong("a row of it holds what no version of this library writes".to_owned()));
        };
        let sum = if seq < planned_below { &mut planned } else { &mut later };
        sum.add_digest(&keys.numbers, digest, seq);
    }
    if later != implied_from(connection, derived, planned_below, keys, fields)? {
        return Ok(Walk::Wrong("its rows of the newest entries are not those that the entries imply".to_owned()));
    }
    Ok(Walk::Ordered(planned))
}

fn digest_of(
    derived: &Derived,
    row: &Row<'_>,
    columns: usize,
    keys: &SumKeys,
    stream: &mut StreamDigest<'_>,
) -> rusqlite::Result<Option<([u64; 2], i64)>> {
    let ValueRef::Integer(seq) = row.get_ref(columns - 1)? else { return Ok(None) };
    match (derived, row.get_ref(0)?) {
        (Derived::LookUp(_) | Derived::Timestamp, ValueRef::Integer(number)) => {
            return Ok(Some(([number as u64; 2], seq)));
        }
        (Derived::Stream, ValueRef::Text(name)) => return Ok(Some((stream.of(name), seq))),
        (Derived::Field(..), _) => {}
        _ => return Ok(None),
    }
    let mut texts: Vec<Option<&[u8]>> = Vec::with_capacity(columns - 1);
    for column in 0..columns - 1 {
        match row.get_ref(column)? {
            ValueRef::Text(text) => texts.push(Some(text)),
            ValueRef::Null => texts.push(None),
            _ => return Ok(None),
        }
    }
    Ok(Some((keys.digest(&texts.into_iter()), seq)))
}

/// The sum over what the entries from `first` on imply for an index.
fn implied_from(
    connection: &Connection,
    derived: &Derived,
    first: i64,
    keys: &SumKeys,
    fields: &FieldsByStream,
) -> Result<IndexSum> {
    let below = derived.extent(connection)?;
    let mut look_up = IndexSum::default();
    if below <= first {
        return Ok(look_up);
    }
    let doing = "reading the newest entries for verification";
    let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq >= ?1 AND seq < ?2 ORDER BY seq");
    let mut statement = connection.prepare_cached(&sql).doing(doing)?;
    let mut rows = statement.query((first, below)).doing(doing)?;
    let mut summing = Summing::new(keys, fields, 0);
    while let Some(row) = rows.next().doing(doing)? {
        // What cannot be read is found by the verification of the chain.
        let Ok(entry) = verify_row(row).doing(doing)? else { continue };
        match derived {
            Derived::LookUp(Key::Hash) => {
                if let Ok(hash) = entry.hash.try_into() {
                    look_up.add(&keys.numbers, prefix_of(&Hash(hash)), entry.seq);
                }
            }
            Derived::LookUp(Key::RecordId) => {
                look_up.add(&keys.numbers, record_id_prefix(entry.record_id), entry.seq);
            }
            _ => summing.take(&entry),
        }
    }
    look_up += summing.finish().of(derived);
    Ok(look_up)
}

/// Whether rows come in strictly ascending order, as SQLite compares them: NULL, integers, texts and blobs by bytes.
#[derive(Debug, Default)]
pub(crate) struct Ascending {
    last: Vec<Cell>,
}

#[derive(Debug)]
enum Cell {
    Null,
    Integer(i64),
    Bytes(u8, Vec<u8>),
}

impl Ascending {
    /// Takes the next row, by its first columns; false where it does not follow the one before.
    pub(crate) fn takes(&mut self, row: &Row<'_>, columns: usize) -> rusqlite::Result<bool> {
        let known = self.last.len();
        let mut ordering = if known == 0 { Ordering::Greater } else { Ordering::Equal };
        for column in 0..columns {
            let value = row.get_ref(column)?;
            if column >= known {
                self.last.push(Cell::of(value));
                continue;
            }
            if ordering == Ordering::Equal {
                ordering = self.last[column].compared_with(value);
            }
            match ordering {
                Ordering::Less => return Ok(false),
                Ordering::Greater => self.last[column].set(value),
                Ordering::Equal => {}
            }
        }
        Ok(ordering == Ordering::Greater)
    }
}

impl Cell {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Text(bytes) => Self::Bytes(0, bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Bytes(1, bytes.to_vec()),
            // No column holds any: told apart from everything else, and refused by whoever reads the value.
            ValueRef::Real(number) => Self::Bytes(2, number.to_be_bytes().to_vec()),
        }
    }

    fn set(&mut self, value: ValueRef<'_>) {
        match (&mut *self, value) {
            (Self::Bytes(0, kept), ValueRef::Text(bytes)) => {
                kept.clear();
                kept.extend_from_slice(bytes);
            }
            (cell, value) => *cell = Self::of(value),
        }
    }

    /// How a value compares with this one before it.
    fn compared_with(&self, value: ValueRef<'_>) -> Ordering {
        match (self, value) {
            (Self::Integer(last), ValueRef::Integer(number)) => number.cmp(last),
            (Self::Bytes(0, last), ValueRef::Text(bytes)) | (Self::Bytes(1, last), ValueRef::Blob(bytes)) => {
                bytes.cmp(last.as_slice())
            }
            (last, value) => Self::of(value).rank().cmp(&last.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Integer(_) => 1,
            Self::Bytes(kind, _) => 2 + kind,
        }
    }
}
