//! The indexes that modules declare: making those that are missing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use nucleus_engine::model::{FieldIndex, Result};
use rusqlite::TransactionBehavior;

use crate::connect::Doing;
use crate::lookup::field_index;
use crate::schema::field_indexes;
use crate::state::SqliteStorage;

impl SqliteStorage {
    /// Notes which indexes the database has.
    pub(crate) fn note_indexes(&self) -> Result<()> {
        let found = field_indexes(&*self.reader()?)?;
        *self.field_indexes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(())
    }

    /// See [`nucleus_engine::Storage`]. Entries that are there already are indexed at once, in
    /// one transaction.
    pub(crate) fn make_indexes(&self, indexes: &[FieldIndex]) -> Result<()> {
        let known = self.field_indexes();
        if self.read_only || indexes.iter().all(|index| known.contains(index)) {
            return Ok(());
        }
        let doing = "making the indexes that modules declare";
        {
            let mut slot = self.writer();
            let Some(connection) = slot.connection.as_mut() else {
                return Err(nucleus_engine::Error::Closed);
            };
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).doing(doing)?;
            // Another process may have been faster.
            let present = field_indexes(&transaction)?;
            for index in indexes.iter().filter(|index| !present.contains(index)) {
                transaction.execute_batch(&field_index::sql(index)).doing(&format!("{doing} ({index})"))?;
            }
            transaction.commit().doing(doing)?;
            self.wrote.store(true, Ordering::Release);
        }
        self.note_indexes()
    }
}
