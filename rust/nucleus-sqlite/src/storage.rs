//! The storage as the engine's ports ask for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nucleus_core::VerificationError;
use nucleus_core::entry::Head;
use nucleus_engine::model::{FieldIndex, Progress, Question, Result};
use nucleus_engine::store::{
    DerivedFaults, Described, EndOfChain, Observer, OpenTransaction, Read, Restored, Scan, Stats, Storage, Upkeep,
};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::config::Durability;
use crate::connect::Doing;
use crate::files::anchor;
use crate::grants;
use crate::locks::lock;
use crate::rows::read_head;
use crate::state::SqliteStorage;
use crate::statements::checkpoint;

impl Storage for SqliteStorage {
    fn described(&self) -> &Described {
        &self.described
    }

    fn read(&self) -> Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.begin_read(self.reader()?)?))
    }

    /// One statement, which is a state of its own.
    fn head(&self) -> Result<Option<Head>> {
        read_head(&*self.reader()?)
    }

    /// One statement, so that both are of one state.
    fn decide(&self, question: &Question<'_>, kinds: &str) -> Result<Option<bool>> {
        if self.has_grants { grants::allows_now(&*self.reader()?, question, kinds) } else { Ok(None) }
    }

    fn write(self: Arc<Self>, work: &mut dyn FnMut(&OpenTransaction) -> Result<()>) -> Result<()> {
        self.run_write(work)
    }

    fn scan(&self, scan: Scan, observer: &dyn Observer, progress: Progress<'_>) -> Result<DerivedFaults> {
        self.run_scan(scan, observer, progress)
    }

    fn upkeep(&self) -> &dyn Upkeep {
        self
    }

    fn close(&self) -> Result<()> {
        if std::process::id() != self.opened_in || self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let mut slot = self.writer();
        self.drop_readers();
        let Some(connection) = slot.connection.take() else {
            self.let_go();
            return Ok(());
        };
        let replaced = slot.replaced || self.watch.as_ref().is_some_and(|watch| lock(watch).check().is_err());
        if replaced {
            // Whatever lies there now is not to be written over with what this process remembers.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).doing("closing the database")?;
        } else if self.wrote.load(Ordering::Acquire) {
            self.leave_durable(&connection, slot.head);
        }
        let closed = connection.close().map_err(|(_, error)| error).doing("closing the database");
        self.let_go();
        closed
    }
}

impl Upkeep for SqliteStorage {
    fn declare_indexes(&self, indexes: &[FieldIndex]) -> Result<()> {
        self.guard()?;
        self.make_indexes(indexes)
    }

    fn indexed_streams(&self) -> Vec<String> {
        self.field_indexes().iter().map(|index| index.stream().to_owned()).collect()
    }

    fn end_of_chain(&self) -> Result<EndOfChain> {
        match self.connector.path() {
            Some(path) => anchor::check(&*self.reader()?, path, &self.info),
            None => Ok(EndOfChain::InMemory),
        }
    }

    fn recovery_fault(&self) -> Result<Option<VerificationError>> {
        self.check_recovered()
    }

    fn why_unsound(&self) -> String {
        self.hint_of_recovery()
    }

    fn accept(&self) -> Result<()> {
        self.begin_anchor()
    }

    fn scrub(&self) -> Result<bool> {
        self.guard()?;
        self.run_scrub()
    }

    fn scrub_pending(&self) -> bool {
        self.scrub_pending.load(Ordering::Relaxed)
    }

    fn backup(&self, path: &Path, progress: Progress<'_>) -> Result<Option<Head>> {
        self.run_backup(path, progress)
    }

    fn restore_to(&self, target: &Path, replace: bool, progress: Progress<'_>) -> Result<Restored> {
        self.guard()?;
        self.run_restore(target, replace, progress)
    }

    fn stats(&self) -> Result<Stats> {
        let connection = self.reader()?;
        self.read_stats(&connection)
    }
}

impl SqliteStorage {
    /// Works the log into the database and makes the anchor durable. What fails here is found, or done, at the next opening.
    fn leave_durable(&self, connection: &Connection, head: Option<Head>) {
        if let Err(error) = checkpoint(connection, "TRUNCATE") {
            tracing::warn!(%error, "the write-ahead log could not be checkpointed; it is read at the next open");
        }
        if self.connector.durability == Durability::Normal {
            self.anchor_what_is_durable(head);
        }
        if let Some(anchor) = &*lock(&self.anchor)
            && let Err(error) = anchor.sync()
        {
            tracing::warn!(%error, "the anchor file could not be made durable");
        }
    }

    /// Notes a head of which it is not known yet whether it is durable.
    pub(crate) fn anchor_what_is_durable(&self, head: Option<Head>) {
        match self.sync_log() {
            Ok(()) => self.advance_anchor(head),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be made durable"),
        }
    }

    /// Notes a head that is durable.
    pub(crate) fn advance_anchor(&self, head: Option<Head>) {
        if let (Some(anchor), Some(head)) = (&*lock(&self.anchor), head)
            && let Err(error) = anchor.advance(head)
        {
            tracing::warn!(%error, "the anchor file could not be rewritten; it now trails the chain");
        }
    }

    /// Closes the files that this process keeps open besides SQLite's own.
    pub(crate) fn let_go(&self) {
        *lock(&self.anchor) = None;
        if let Some(watch) = &self.watch {
            lock(watch).release();
        }
    }
}

impl Drop for SqliteStorage {
    fn drop(&mut self) {
        if std::process::id() != self.opened_in {
            // The connections belong to the process that opened them: closing them here could checkpoint or delete
            // its write-ahead log.
            std::mem::forget(self.writer().connection.take());
            std::mem::forget(std::mem::take(&mut *lock(&self.readers)));
        } else if let Err(error) = self.close() {
            tracing::warn!(%error, "closing a ledger failed");
        }
    }
}
