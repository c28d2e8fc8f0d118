//! Reading: one state of the ledger, by hash, by id, in ranges and in pages; and figures.

use std::sync::atomic::Ordering;

use nucleus_core::entry::Head;
use nucleus_core::{ChainEntry, ErrorKind, Hash};
use nucleus_engine::model::{
    FieldValues, Grant, GrantQuery, Kinds, OfOneKind, ProjectionState, QueryFilters, QueryPage, Question, Result, Sight,
};
use nucleus_engine::store::{Read, Stats};
use rusqlite::{Connection, Row};

use crate::connect::Doing;
use crate::grants;
use crate::lookup::runs::{Extent, Key, prefix_of};
use crate::pages::versions::Versions;
use crate::pages::visible::Viewer;
use crate::rows::committed_below;
use crate::rows::{COLUMNS, bad_entry, check_follows, check_neighbours, read_entry, read_head, refuse_gap};
use crate::state::Reader;
use crate::state::SqliteStorage;
use crate::statements::execute;

/// A read transaction on a connection of its own: all statements see one state. It ends when it is dropped.
pub(crate) struct SqliteRead<'a> {
    storage: &'a SqliteStorage,
    connection: Reader<'a>,
    /// See [`Extent::generation`].
    generation: u64,
    /// Number of committed entries in sight, once it was asked for.
    committed_below: Option<i64>,
}

impl Drop for SqliteRead<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "COMMIT")
        {
            tracing::warn!(%error, "a read could not be ended");
        }
    }
}

impl SqliteStorage {
    /// Begins to read on a connection.
    pub(crate) fn begin_read<'a>(&'a self, connection: Reader<'a>) -> Result<SqliteRead<'a>> {
        let generation = self.lookup.generation();
        execute(&connection, "BEGIN").doing("beginning a read")?;
        Ok(SqliteRead { storage: self, connection, generation, committed_below: None })
    }
}

impl SqliteRead<'_> {
    /// The connection that the state is seen through.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn extent(&mut self) -> Result<Extent> {
        let below = match self.committed_below {
            Some(below) => below,
            None => committed_below(&self.connection)?,
        };
        self.committed_below = Some(below);
        Ok(Extent { committed_below: below, generation: self.generation })
    }

    fn versions(&mut self) -> Result<Versions<'_>> {
        let extent = self.extent()?;
        Ok(Versions::new(self.storage, &self.connection, extent, None))
    }
}

impl Read for SqliteRead<'_> {
    fn head(&mut self) -> Result<Option<Head>> {
        read_head(&self.connection)
    }

    fn range(&mut self, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        self.storage.read_range(&self.connection, first_seq, limit)
    }

    fn get(&mut self, hash: &Hash, sight: &Sight) -> Result<Option<ChainEntry>> {
        let (storage, prefix) = (self.storage, prefix_of(hash));
        // An entry never changes its hash: what is found without looking for newer entries is the answer.
        let known = storage.lookup.known_candidates(&self.connection, prefix)?;
        let mut found = storage.confirm_hash(&self.connection, &known, hash)?;
        if found.is_none() {
            let extent = self.extent()?;
            let seqs = storage.lookup.candidates(&self.connection, Key::Hash, prefix, extent)?;
            found = storage.confirm_hash(&self.connection, &seqs, hash)?;
        }
        match (Viewer::of(sight), found) {
            (Some(viewer), Some(entry)) => Ok(self.versions()?.shows(viewer, &entry)?.then_some(entry)),
            (_, found) => Ok(found),
        }
    }

    fn latest_by_id(&mut self, id: &str, stream: Option<&str>, sight: &Sight) -> Result<Option<ChainEntry>> {
        self.versions()?.latest(id, stream, Viewer::of(sight))
    }

    fn version_before(&mut self, id: &str, stream: &str, seq: u64) -> Result<Option<ChainEntry>> {
        self.versions()?.version_before(id, stream, seq as i64)
    }

    fn any_version_before(&mut self, id: &str, streams: &[&str], seq: u64) -> Result<bool> {
        self.versions()?.any_version_before(id, streams, seq as i64)
    }

    fn latest_of_one_kind(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<OfOneKind> {
        self.versions()?.latest_of_one_kind(id, kinds, Viewer::of(sight))
    }

    fn streams_with(&mut self, id: &str, kinds: &Kinds, sight: &Sight) -> Result<Vec<String>> {
        self.versions()?.streams_with(id, kinds, Viewer::of(sight))
    }

    fn page(&mut self, filters: &QueryFilters, sight: &Sight) -> Result<QueryPage> {
        self.versions()?.page(filters, Viewer::of(sight))
    }

    fn field_values(&mut self, query: &FieldValues<'_>, sight: &Sight) -> Result<Vec<String>> {
        self.storage.read_field_values(&self.connection, query, Viewer::of(sight))
    }

    fn allows(&mut self, question: &Question<'_>) -> Result<bool> {
        grants::allows(&self.connection, question)
    }

    fn grants(&mut self, query: &GrantQuery<'_>) -> Result<Vec<Grant>> {
        grants::grants(&self.connection, query)
    }

    fn projection(&mut self) -> Result<Option<ProjectionState>> {
        if self.storage.has_grants { grants::projection(&self.connection) } else { Ok(None) }
    }

    fn projection_is_current(&mut self, kinds: &str) -> Result<bool> {
        if self.storage.has_grants { grants::is_current(&self.connection, kinds) } else { Ok(false) }
    }
}

/// A range ends early where its records would fill the memory.
const MOST_RANGE_BYTES: usize = 64 * 1024 * 1024;

impl SqliteStorage {
    /// The entry among `seqs` that really has this hash.
    pub(crate) fn confirm_hash(
        &self,
        connection: &Connection,
        seqs: &[i64],
        hash: &Hash,
    ) -> Result<Option<ChainEntry>> {
        for seq in seqs {
            let found = self.entry_where(connection, *seq, |row| {
                let stored = row.get_ref(2).doing("reading an entry")?.as_blob().unwrap_or_default();
                if stored == hash.0 {
                    return Ok(true);
                }
                // The look-up knows an entry here whose hash begins like this one: it had another hash before.
                match <[u8; 32]>::try_from(stored) {
                    Ok(stored) if prefix_of(&Hash(stored)) == prefix_of(hash) => Ok(false),
                    _ => Err(bad_entry(ErrorKind::HashMismatch, *seq, None)),
                }
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The entry at a seq, where its row is the one that is wanted, and linked to its neighbours.
    pub(crate) fn entry_where(
        &self,
        connection: &Connection,
        seq: i64,
        wanted: impl FnOnce(&Row<'_>) -> Result<bool>,
    ) -> Result<Option<ChainEntry>> {
        let doing = "reading an entry";
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq = ?1");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query([seq]).doing(doing)?;
        let Some(row) = rows.next().doing(doing)? else {
            return refuse_gap(connection, seq).map(|()| None);
        };
        if !wanted(row)? {
            return Ok(None);
        }
        let entry = read_entry(row, &self.ledger_hash)?;
        drop(rows);
        check_neighbours(connection, &entry)?;
        Ok(Some(entry))
    }

    pub(crate) fn read_range(&self, connection: &Connection, first_seq: u64, limit: usize) -> Result<Vec<ChainEntry>> {
        let Ok(first_seq) = i64::try_from(first_seq) else {
            return Ok(Vec::new());
        };
        let doing = "reading entries";
        let length = committed_below(connection)?;
        let sql = format!("SELECT {COLUMNS} FROM entries NOT INDEXED WHERE seq >= ?1 ORDER BY seq LIMIT ?2");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut rows = statement.query((first_seq, limit as i64)).doing(doing)?;
        let (mut entries, mut bytes): (Vec<ChainEntry>, usize) = (Vec::new(), 0);
        while bytes < MOST_RANGE_BYTES
            && let Some(row) = rows.next().doing(doing)?
        {
            let entry = read_entry(row, &self.ledger_hash)?;
            if let Some(last) = entries.last() {
                check_follows(last, &entry)?;
            } else if entry.seq as i64 != first_seq {
                refuse_gap(connection, first_seq)?;
            }
            bytes += entry.record.content_bytes();
            entries.push(entry);
        }
        let next = entries.last().map_or(first_seq, |last| last.seq as i64 + 1);
        if bytes < MOST_RANGE_BYTES && entries.len() < limit && next < length {
            refuse_gap(connection, next)?;
        }
        Ok(entries)
    }

    pub(crate) fn read_stats(&self, connection: &Connection) -> Result<Stats> {
        let doing = "counting entries";
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).doing(doing);
        let head = read_head(connection)?;
        let mut statement =
            connection.prepare("SELECT stream, count(*) FROM entries GROUP BY stream ORDER BY stream").doing(doing)?;
        let streams = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
            .and_then(Iterator::collect)
            .doing(doing)?;
        let pages = number("SELECT page_count FROM pragma_page_count")?.unwrap_or_default();
        Ok(Stats {
            entries: head.map_or(0, |head| head.seq + 1),
            head,
            streams,
            redacted: number("SELECT count(*) FROM entries WHERE payload IS NULL")?.unwrap_or_default() as u64,
            first_timestamp: number("SELECT min(timestamp) FROM entries")?,
            last_timestamp: number("SELECT max(timestamp) FROM entries")?,
            created_at: self.info.created_at,
            database_bytes: pages as u64 * self.page_bytes,
            wal_bytes: self.wal_bytes(),
            scrub_pending: self.scrub_pending.load(Ordering::Relaxed),
        })
    }
}
