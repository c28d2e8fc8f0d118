//! The versions of records, as one connection sees them: the newest of an id, and queries that ask for it.

use std::collections::HashMap;

use nucleus_core::ChainEntry;
use nucleus_core::hash::record_id_prefix;
use rusqlite::{Connection, OptionalExtension};

use super::SqliteStorage;
use super::connect::Doing;
use super::lookup::{Extent, Key, Span};
use super::rows::refuse_gap;
use crate::access::Viewer;
use crate::error::Result;
use crate::query::Order;

/// Candidates looked at together: nearly always there is one, and an id may have any number.
const CHUNK: usize = 8;

/// Records of which the newest version is noted while one page is read.
const MOST_NOTED: usize = 64;

/// Seqs by record id of what a transaction has written, which the shared look-up map must not know yet.
#[derive(Debug)]
pub(super) struct Uncommitted {
    /// Entries from `first_seq` to here are in the map.
    loaded_below: i64,
    by_id: HashMap<String, Vec<i64>>,
}

impl Uncommitted {
    /// Of a transaction whose first entry has this seq.
    pub(super) fn new(first_seq: i64) -> Self {
        Self { loaded_below: first_seq, by_id: HashMap::new() }
    }

    /// Takes note of an entry that was just written, if the map is up to it.
    pub(super) fn note(&mut self, seq: i64, id: &str) {
        if !self.by_id.is_empty() && self.loaded_below == seq {
            self.by_id.entry(id.to_owned()).or_default().push(seq);
            self.loaded_below = seq + 1;
        }
    }

    /// Ascending seqs of the entries with this id; the transaction has written all below `written_below`.
    fn seqs(&mut self, connection: &Connection, id: &str, written_below: i64) -> Result<&[i64]> {
        if self.loaded_below < written_below {
            self.load(connection)?;
        }
        Ok(self.by_id.get(id).map_or(&[], Vec::as_slice))
    }

    fn load(&mut self, connection: &Connection) -> Result<()> {
        let doing = "reading what a transaction has written";
        let sql = "SELECT seq, record_id FROM entries NOT INDEXED WHERE seq >= ?1 ORDER BY seq";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query([self.loaded_below]).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            let (seq, id): (i64, String) = (row.get(0).doing(doing)?, row.get(1).doing(doing)?);
            self.by_id.entry(id).or_default().push(seq);
            self.loaded_below = seq + 1;
        }
        Ok(())
    }
}

/// Looks versions up on one connection.
pub(super) struct Versions<'a> {
    pub(super) storage: &'a SqliteStorage,
    pub(super) connection: &'a Connection,
    /// What is committed before what the connection itself has written.
    extent: Extent,
    /// What the connection has written, and the seq behind it.
    uncommitted: Option<(&'a mut Uncommitted, i64)>,
    /// Seq of the newest version of a record, for those where it took long to find.
    newest_of_many: Vec<((String, String), i64)>,
}

impl<'a> Versions<'a> {
    pub(super) fn new(
        storage: &'a SqliteStorage,
        connection: &'a Connection,
        extent: Extent,
        uncommitted: Option<(&'a mut Uncommitted, i64)>,
    ) -> Self {
        Self { storage, connection, extent, uncommitted, newest_of_many: Vec::new() }
    }

    /// At most `limit` seqs within `span` of entries that may have this id, in `order`.
    pub(super) fn candidates(&mut self, id: &str, span: Span, order: Order, limit: usize) -> Result<Vec<i64>> {
        let mut own = match &mut self.uncommitted {
            Some((uncommitted, written_below)) => uncommitted.seqs(self.connection, id, *written_below)?.to_vec(),
            None => Vec::new(),
        };
        own.retain(|seq| span.contains(*seq));
        let extent = self.extent;
        let committed = || {
            let prefix = record_id_prefix(id);
            self.storage.lookup.candidates_in(self.connection, Key::RecordId, prefix, extent, span, order, limit)
        };
        let mut seqs = match order {
            Order::Ascending => {
                let mut seqs = committed()?;
                seqs.append(&mut own);
                seqs
            }
            Order::Descending => {
                own.reverse();
                if own.len() < limit {
                    own.append(&mut committed()?);
                }
                own
            }
        };
        seqs.truncate(limit);
        Ok(seqs)
    }

    /// Seqs of committed entries that may have one of these ids, see [`super::lookup::Lookup::candidates_of`]. Several ids
    /// are only asked for by viewers, who read what is committed.
    pub(super) fn candidates_of(
        &mut self,
        ids: &[String],
        span: Span,
        order: Order,
        limit: usize,
    ) -> Result<(Vec<i64>, Span)> {
        self.storage.lookup.candidates_of(self.connection, ids, self.extent, span, order, limit)
    }

    /// The newest entry with this id that a viewer sees, in this stream where one is given.
    pub(super) fn latest(
        &mut self,
        id: &str,
        stream: Option<&str>,
        viewer: Option<&Viewer>,
    ) -> Result<Option<ChainEntry>> {
        self.newest(id, stream, Span::ALL, viewer)
    }

    /// The newest entry with this id in a stream before `seq`.
    pub(super) fn version_before(&mut self, id: &str, stream: &str, seq: i64) -> Result<Option<ChainEntry>> {
        self.newest(id, Some(stream), Span { before: seq, ..Span::ALL }, None)
    }

    fn newest(
        &mut self,
        id: &str,
        stream: Option<&str>,
        mut span: Span,
        viewer: Option<&Viewer>,
    ) -> Result<Option<ChainEntry>> {
        let mut chunk = CHUNK;
        // Access goes by stream and id: one look at a stream tells for all its versions.
        let mut unseen: Vec<String> = Vec::new();
        loop {
            let seqs = self.candidates(id, span, Order::Descending, chunk)?;
            for seq in &seqs {
                let Some(entry) = self.entry_with_id(*seq, id, stream)? else {
                    continue;
                };
                let stream = &entry.record.stream;
                match viewer {
                    None => return Ok(Some(entry)),
                    Some(_) if unseen.contains(stream) => {}
                    Some(viewer) if viewer.sees(self, &entry)? => return Ok(Some(entry)),
                    Some(_) => unseen.push(stream.clone()),
                }
            }
            match seqs.last() {
                Some(last) if seqs.len() == chunk => span.before = *last,
                _ => return Ok(None),
            }
            chunk *= 2;
        }
    }

    /// Whether no newer entry has the same id and stream as the one at `seq`.
    pub(super) fn is_latest(&mut self, seq: i64, id: &str, stream: &str) -> Result<bool> {
        if let Some((_, newest)) = self.newest_of_many.iter().find(|(of, _)| of.0 == id && of.1 == stream) {
            return Ok(*newest == seq);
        }
        let mut span = Span { after: seq, ..Span::ALL };
        let mut chunk = CHUNK;
        let mut newest = seq;
        loop {
            let seqs = self.candidates(id, span, Order::Descending, chunk)?;
            for newer in &seqs {
                if self.has_id(*newer, id, stream)? {
                    newest = *newer;
                    break;
                }
            }
            match seqs.last() {
                Some(last) if newest == seq && seqs.len() == chunk => span.before = *last,
                _ => break,
            }
            chunk *= 2;
        }
        if chunk > CHUNK {
            self.newest_of_many.truncate(MOST_NOTED - 1);
            self.newest_of_many.insert(0, ((id.to_owned(), stream.to_owned()), newest));
        }
        Ok(newest == seq)
    }

    fn entry_with_id(&self, seq: i64, id: &str, stream: Option<&str>) -> Result<Option<ChainEntry>> {
        self.storage.entry_where(self.connection, seq, |row| {
            let is = |column, text: &str| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str().ok() == Some(text));
            Ok(is(4, id)? && stream.map_or(Ok(true), |stream| is(5, stream))?)
        })
    }

    /// The entry with this seq.
    pub(super) fn entry_at(&self, seq: i64) -> Result<Option<ChainEntry>> {
        Ok(self
            .storage
            .read_range(self.connection, seq.max(0) as u64, 1)?
            .pop()
            .filter(|entry| entry.seq as i64 == seq))
    }

    /// Seqs of the entries with this id whose payload was erased; others with the same prefix may be among them.
    pub(super) fn redacted_seqs(&mut self, id: &str) -> Result<Vec<i64>> {
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

    /// Number of entries in sight.
    pub(super) fn length(&self) -> u64 {
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
    pub(super) fn refuse_gaps(&self, seqs: &[i64]) -> Result<()> {
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
