//! The versions of records, as one connection sees them: the newest of an id, and queries that ask for it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use nucleus_core::ChainEntry;
use nucleus_engine::model::{Error, Order, Result, is_own_stream};
use rusqlite::{Connection, OptionalExtension};

use crate::connect::Doing;
use crate::grants::allows;
use crate::lookup::runs::{Extent, Key, Span, record_id_prefix};
use crate::pages::memory::Newest;
use crate::pages::visible::Viewer;
use crate::rows::refuse_gap;
use crate::state::SqliteStorage;

/// Candidates looked at together: nearly always there is one, and an id may have any number.
const CHUNK: usize = 8;

/// Records of which the newest version is noted while one page is read.
const MOST_NOTED: usize = 64;

/// Seqs of what a transaction has written, which the shared look-up map must not know yet: by record id, and by stream and
/// record id, for an id may be in use in any number of streams. As in that map, they only name candidates.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    /// Seq of the first entry of the transaction.
    first_seq: i64,
    /// The two keys of each entry, in the order of their seqs.
    keys: Vec<[u64; 2]>,
    /// Ascending seqs by either key. The hashes are keyed at random, so that nobody makes ids that meet in one.
    seqs: HashMap<u64, Vec<i64>>,
    hasher: RandomState,
}

impl Uncommitted {
    /// Of a transaction whose first entry has this seq.
    pub(crate) fn new(first_seq: i64) -> Self {
        Self { first_seq, keys: Vec::new(), seqs: HashMap::new(), hasher: RandomState::new() }
    }

    /// Takes note of an entry that was just written, if the map is up to it.
    pub(crate) fn note(&mut self, seq: i64, id: &str, stream: &str) {
        if !self.keys.is_empty() && self.noted_below() == seq {
            self.add(seq, id, stream);
        }
    }

    /// Forgets the entries from `length` on, counted from the first of the transaction: they were taken back.
    pub(crate) fn take_back(&mut self, length: usize) {
        while self.keys.len() > length {
            for key in self.keys.pop().unwrap_or_default() {
                if let Some(seqs) = self.seqs.get_mut(&key) {
                    seqs.pop();
                }
            }
        }
    }

    /// Ascending seqs of the entries that may have this id, in this stream where one is given; the transaction has written
    /// all below `written_below`.
    fn seqs(&mut self, connection: &Connection, id: &str, stream: Option<&str>, written_below: i64) -> Result<&[i64]> {
        if self.noted_below() < written_below {
            self.load(connection)?;
        }
        let key = self.hasher.hash_one((id, stream));
        Ok(self.seqs.get(&key).map_or(&[], Vec::as_slice))
    }

    fn noted_below(&self) -> i64 {
        self.first_seq + self.keys.len() as i64
    }

    fn add(&mut self, seq: i64, id: &str, stream: &str) {
        let keys = [None, Some(stream)].map(|stream| self.hasher.hash_one((id, stream)));
        for key in keys {
            self.seqs.entry(key).or_default().push(seq);
        }
        self.keys.push(keys);
    }

    fn load(&mut self, connection: &Connection) -> Result<()> {
        let doing = "reading what a transaction has written";
        let sql = "SELECT seq, record_id, stream FROM entries NOT INDEXED WHERE seq >= ?1 ORDER BY seq";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query([self.noted_below()]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let text = |index: usize| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
            self.add(row.get(0).doing(doing)?, text(1).doing(doing)?, text(2).doing(doing)?);
        }
        Ok(())
    }
}

/// What one chunk of a stream came to.
enum Turn {
    /// Seq of the newest entry with the id.
    Found(i64),
    /// The stream has no entry with it.
    Exhausted,
    /// It has none from this seq on.
    NotFrom(i64),
}

/// Looks versions up on one connection.
pub(crate) struct Versions<'a> {
    pub(crate) storage: &'a SqliteStorage,
    pub(crate) connection: &'a Connection,
    /// What is committed before what the connection itself has written.
    extent: Extent,
    /// What the connection has written, and the seq behind it.
    uncommitted: Option<(&'a mut Uncommitted, i64)>,
    /// Seq of the newest version of a record, for those where it took long to find.
    newest_of_many: Vec<((String, String), i64)>,
}

impl<'a> Versions<'a> {
    pub(crate) fn new(
        storage: &'a SqliteStorage,
        connection: &'a Connection,
        extent: Extent,
        uncommitted: Option<(&'a mut Uncommitted, i64)>,
    ) -> Self {
        Self { storage, connection, extent, uncommitted, newest_of_many: Vec::new() }
    }

    /// At most `limit` seqs within `span` of entries that may have this id, in `order`.
    pub(crate) fn candidates(&mut self, id: &str, span: Span, order: Order, limit: usize) -> Result<Vec<i64>> {
        let mut own = self.own(id, None)?;
        own.retain(|seq| span.contains(*seq));
        let mut seqs = match order {
            Order::Ascending => {
                let mut seqs = self.committed(id, span, order, limit)?;
                seqs.append(&mut own);
                seqs
            }
            Order::Descending => {
                own.reverse();
                if own.len() < limit {
                    own.append(&mut self.committed(id, span, order, limit)?);
                }
                own
            }
        };
        seqs.truncate(limit);
        Ok(seqs)
    }

    /// Ascending seqs of what the connection has written that may have this id, in this stream where one is given.
    fn own(&mut self, id: &str, stream: Option<&str>) -> Result<Vec<i64>> {
        match &mut self.uncommitted {
            Some((uncommitted, written_below)) => {
                Ok(uncommitted.seqs(self.connection, id, stream, *written_below)?.to_vec())
            }
            None => Ok(Vec::new()),
        }
    }

    fn committed(&self, id: &str, span: Span, order: Order, limit: usize) -> Result<Vec<i64>> {
        let prefix = record_id_prefix(id);
        self.storage.lookup.candidates_in(self.connection, Key::RecordId, prefix, self.extent, span, order, limit)
    }

    /// Seqs of entries that may have one of these ids, see [`crate::lookup::runs::Lookup::candidates_of`].
    pub(crate) fn candidates_of(
        &mut self,
        ids: &[String],
        span: Span,
        order: Order,
        limit: usize,
    ) -> Result<(Vec<i64>, Span)> {
        let (mut seqs, complete) =
            self.storage.lookup.candidates_of(self.connection, ids, self.extent, span, order, limit)?;
        for id in ids {
            seqs.extend(self.own(id, None)?.into_iter().filter(|seq| complete.contains(*seq)));
        }
        Ok((seqs, complete))
    }

    /// The newest entry with this id that a viewer sees, in this stream where one is given.
    pub(crate) fn latest(
        &mut self,
        id: &str,
        stream: Option<&str>,
        viewer: Option<Viewer<'_>>,
    ) -> Result<Option<ChainEntry>> {
        match (stream, viewer) {
            (None, None) => self.newest_anywhere(id),
            (Some(stream), None) => self.newest(id, stream, Span::ALL),
            (Some(stream), Some(viewer)) => self.newest_seen(id, stream, viewer),
            (None, Some(viewer)) => {
                let mut newest: Option<ChainEntry> = None;
                for stream in self.streams_seen(id, viewer)? {
                    let found = self.newest_seen(id, &stream, viewer)?;
                    newest = found.into_iter().chain(newest).max_by_key(|entry| entry.seq);
                }
                Ok(newest)
            }
        }
    }

    /// The newest entry with this id in a stream before `seq`.
    pub(crate) fn version_before(&mut self, id: &str, stream: &str, seq: i64) -> Result<Option<ChainEntry>> {
        self.newest(id, stream, Span { before: seq, ..Span::ALL })
    }

    /// Whether one of these streams has an entry with this id before `seq`. The streams may be many, and so may the entries
    /// with the id in other streams: the fewer are looked at.
    pub(crate) fn any_version_before(&mut self, id: &str, streams: &[&str], seq: i64) -> Result<bool> {
        let before = Span { before: seq, ..Span::ALL };
        if streams.len() > 1 {
            let seqs = self.candidates(id, before, Order::Descending, streams.len())?;
            if seqs.len() < streams.len() {
                return Ok(self.streams_at(&seqs, id)?.iter().any(|stream| streams.contains(&stream.as_str())));
            }
        }
        for stream in streams {
            if self.newest(id, stream, before)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a viewer may see this entry.
    pub(crate) fn shows(&self, viewer: Viewer<'_>, entry: &ChainEntry) -> Result<bool> {
        viewer.admits(
            &entry.record,
            &mut |seq| Ok(self.entry_at(i64::try_from(seq).unwrap_or(i64::MAX))?.map(|entry| entry.record)),
            &mut |question| allows(self.connection, question),
        )
    }

    /// The newest entry with this id in a stream, if a viewer sees it. What they may not read costs what is not there does:
    /// grants are asked first.
    pub(crate) fn newest_seen(&mut self, id: &str, stream: &str, viewer: Viewer<'_>) -> Result<Option<ChainEntry>> {
        if is_own_stream(stream) {
            let Some(entry) = self.newest(id, stream, Span::ALL)? else { return Ok(None) };
            return Ok(self.shows(viewer, &entry)?.then_some(entry));
        }
        if viewer.reads(self.connection, id, stream)? { self.newest(id, stream, Span::ALL) } else { Ok(None) }
    }

    fn newest_anywhere(&mut self, id: &str) -> Result<Option<ChainEntry>> {
        let mut span = Span::ALL;
        let mut chunk = CHUNK;
        loop {
            let seqs = self.candidates(id, span, Order::Descending, chunk)?;
            for seq in &seqs {
                if let Some(entry) = self.entry_with_id(*seq, id, None)? {
                    return Ok(Some(entry));
                }
            }
            match seqs.last() {
                Some(last) if seqs.len() == chunk => span.before = *last,
                _ => return Ok(None),
            }
            chunk *= 2;
        }
    }

    /// The newest entry with this id in a stream.
    fn newest(&mut self, id: &str, stream: &str, span: Span) -> Result<Option<ChainEntry>> {
        self.newest_as(id, stream, span, |versions, seq| versions.entry_with_id(seq, id, Some(stream)))
            .map(|found| found.0)
    }

    /// What `read` makes of the newest entry with this id in a stream, for a candidate that it confirms; and whether it
    /// took long to find.
    ///
    /// Others may have used the id in any number of streams, and the stream for any number of ids. Both are gone through
    /// by turns, a chunk of one and a chunk of the other, so that it costs no more than about twice the shorter way.
    fn newest_as<T>(
        &mut self,
        id: &str,
        stream: &str,
        span: Span,
        read: impl Fn(&Self, i64) -> Result<Option<T>>,
    ) -> Result<(Option<T>, bool)> {
        for seq in self.own(id, Some(stream))?.into_iter().rev().filter(|seq| span.contains(*seq)) {
            if let Some(found) = read(self, seq)? {
                return Ok((Some(found), false));
            }
        }
        let committed = Span { before: span.before.min(self.extent.committed_below), ..span };
        let (mut of_id, mut of_stream) = (committed, committed);
        let mut known = None;
        let mut chunk = CHUNK;
        let (newest, found) = loop {
            let seqs = self.committed(id, of_id, Order::Descending, chunk)?;
            let confirmed = seqs.iter().find_map(|seq| read(self, *seq).map(|found| Some((*seq, found?))).transpose());
            if let Some((seq, found)) = confirmed.transpose()? {
                if chunk == CHUNK {
                    return Ok((Some(found), false));
                }
                break (Some(seq), Some(found));
            }
            match seqs.last() {
                Some(last) if seqs.len() == chunk => of_id.before = *last,
                _ if chunk == CHUNK && known.is_none() => return Ok((None, false)),
                _ => break (known, None),
            }
            if chunk == CHUNK
                && let Some(newest) = self.storage.newest_known.get(id, stream, committed)
            {
                // What was looked through before need not be again.
                (of_id.after, of_stream.after) = (newest.below - 1, newest.below - 1);
                known = newest.seq;
            }
            match self.in_stream(id, stream, of_stream, chunk)? {
                Turn::Found(seq) => break (Some(seq), None),
                Turn::Exhausted => break (known, None),
                Turn::NotFrom(seq) => of_stream.before = seq,
            }
            chunk *= 2;
        };
        if span == Span::ALL {
            self.storage.newest_known.remember(id, stream, Newest { seq: newest, below: committed.before });
        }
        match (newest, found) {
            (Some(seq), None) => Ok((read(self, seq)?, true)),
            (_, found) => Ok((found, true)),
        }
    }

    /// Looks for an id among the newest `limit` entries of a stream within `span`.
    fn in_stream(&self, id: &str, stream: &str, span: Span, limit: usize) -> Result<Turn> {
        let doing = "looking through a stream";
        let sql = "SELECT seq, record_id = ?1 FROM entries INDEXED BY entries_stream \
                   WHERE stream = ?2 AND seq > ?3 AND seq < ?4 ORDER BY seq DESC LIMIT ?5";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query((id, stream, span.after, span.before, limit as i64)).doing(doing)?;
        let (mut last, mut count) = (span.before, 0);
        while let Some(row) = rows.next().doing(doing)? {
            last = row.get(0).doing(doing)?;
            if row.get(1).doing(doing)? {
                return Ok(Turn::Found(last));
            }
            count += 1;
        }
        Ok(if count < limit { Turn::Exhausted } else { Turn::NotFrom(last) })
    }

    /// Whether no newer entry has the same id and stream as the one at `seq`.
    pub(crate) fn is_latest(&mut self, seq: i64, id: &str, stream: &str) -> Result<bool> {
        if let Some((_, newest)) = self.newest_of_many.iter().find(|(of, _)| of.0 == id && of.1 == stream) {
            return Ok(*newest == seq);
        }
        let newer = Span { after: seq, ..Span::ALL };
        let (newest, long) = self
            .newest_as(id, stream, newer, |versions, newer| Ok(versions.has_id(newer, id, stream)?.then_some(newer)))?;
        let newest = newest.unwrap_or(seq);
        if long {
            self.newest_of_many.truncate(MOST_NOTED - 1);
            self.newest_of_many.insert(0, ((id.to_owned(), stream.to_owned()), newest));
        }
        Ok(newest == seq)
    }

    pub(crate) fn entry_with_id(&self, seq: i64, id: &str, stream: Option<&str>) -> Result<Option<ChainEntry>> {
        self.storage.entry_where(self.connection, seq, |row| {
            let is = |column, text: &str| {
                let value = row.get_ref(column).doing("reading an entry")?;
                Ok::<_, Error>(value.as_str().ok() == Some(text))
            };
            Ok(is(4, id)? && stream.map_or(Ok(true), |stream| is(5, stream))?)
        })
    }

    /// The entry with this seq.
    pub(crate) fn entry_at(&self, seq: i64) -> Result<Option<ChainEntry>> {
        Ok(self
            .storage
            .read_range(self.connection, seq.max(0) as u64, 1)?
            .pop()
            .filter(|entry| entry.seq as i64 == seq))
    }

    /// Seqs of the entries with this id whose payload was erased; others with the same prefix may be among them.
    pub(crate) fn redacted_seqs(&mut self, id: &str) -> Result<Vec<i64>> {
        let doing = "looking for redacted entries";
        let seqs = self.candidates(id, Span::ALL, Order::Ascending, usize::MAX)?;
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM entries WHERE seq = ?1 AND payload IS NULL").doing(doing)?;
        let mut redacted = Vec::new();
        for seq in seqs {
            if statement.exists([seq]).doing(doing)? {
                redacted.push(seq);
            }
        }
        Ok(redacted)
    }

    /// Whether everything in sight is committed, and so will stay.
    pub(crate) fn shows_only_committed(&self) -> bool {
        self.uncommitted.is_none()
    }

    /// Number of entries in sight.
    pub(crate) fn length(&self) -> u64 {
        let below = self.uncommitted.as_ref().map_or(self.extent.committed_below, |(_, written_below)| *written_below);
        below.max(0) as u64
    }

    fn has_id(&self, seq: i64, id: &str, stream: &str) -> Result<bool> {
        let doing = "looking for a newer version";
        let sql = "SELECT record_id = ?2 AND stream = ?3 FROM entries NOT INDEXED WHERE seq = ?1";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        match statement.query_row((seq, id, stream), |row| row.get(0)).optional().doing(doing)? {
            Some(has_id) => Ok(has_id),
            None => refuse_gap(self.connection, seq).map(|()| false),
        }
    }

    /// Refuses to answer from less than all of these entries.
    pub(crate) fn refuse_gaps(&self, seqs: &[i64]) -> Result<()> {
        let doing = "looking for entries";
        let mut statement =
            self.connection.prepare_cached("SELECT 1 FROM entries NOT INDEXED WHERE seq = ?1").doing(doing)?;
        for seq in seqs {
            if !statement.exists([seq]).doing(doing)? {
                refuse_gap(self.connection, *seq)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use super::*;

    fn written(connection: &Connection, seq: i64, id: &str, stream: &str) {
        connection.execute("INSERT INTO entries VALUES (?1, ?2, ?3)", (seq, id, stream)).unwrap();
    }

    #[test]
    fn what_is_taken_back_is_forgotten_and_what_follows_is_found() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute("CREATE TABLE entries(seq INTEGER PRIMARY KEY, record_id TEXT, stream TEXT)", ()).unwrap();
        let mut uncommitted = Uncommitted::new(10);
        for (seq, stream) in [(10, "a"), (11, "b"), (12, "a")] {
            written(&connection, seq, "x", stream);
        }
        assert_eq!(uncommitted.seqs(&connection, "x", None, 13).unwrap(), [10, 11, 12]);
        assert_eq!(uncommitted.seqs(&connection, "x", Some("a"), 13).unwrap(), [10, 12]);

        connection.execute("DELETE FROM entries WHERE seq > 10", ()).unwrap();
        uncommitted.take_back(1);
        assert_eq!(uncommitted.seqs(&connection, "x", Some("b"), 11).unwrap(), [0_i64; 0]);
        written(&connection, 11, "y", "b");
        uncommitted.note(11, "y", "b");
        written(&connection, 12, "x", "b");
        assert_eq!(uncommitted.seqs(&connection, "x", None, 13).unwrap(), [10, 12]);
        assert_eq!(uncommitted.seqs(&connection, "y", Some("b"), 13).unwrap(), [11]);

        uncommitted.take_back(0);
        connection.execute("DELETE FROM entries", ()).unwrap();
        assert_eq!(uncommitted.seqs(&connection, "x", None, 10).unwrap(), [0_i64; 0]);
    }
}
