//! What a hook knows of its ledger.

use std::sync::Arc;

use nucleus_core::{CanonicalJson, ChainEntry};

use crate::model::{Authority, Error, QueryFilters, QueryPage, Request, Result, Sight, collect_history};
use crate::store::{OpenTransaction, Read, Storage};

/// Rules decide by everything that is there.
const EVERYTHING: Sight = Sight::Everything(Authority::Rules);

/// The state of the ledger that a hook reads.
#[derive(Clone)]
pub enum LedgerView {
    /// With what the open transaction has written; of no use once it has ended.
    Transaction(OpenTransaction),
    /// What is committed at the time of each read.
    Committed(Arc<dyn Storage>),
}

/// A module's access to its ledger during one hook. Cheap to clone.
#[derive(Clone)]
pub struct ModuleContext {
    pub(crate) ledger_id: Arc<str>,
    pub(crate) module_id: Arc<str>,
    pub(crate) config: Arc<CanonicalJson>,
    pub(crate) view: LedgerView,
    pub(crate) request: Option<Request>,
}

impl ModuleContext {
    /// The ledger's id.
    pub fn ledger_id(&self) -> &str {
        &self.ledger_id
    }

    /// The module's own id.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// The module's own settings: a JSON object.
    pub fn config(&self) -> &CanonicalJson {
        &self.config
    }

    /// What it reads.
    pub fn view(&self) -> &LedgerView {
        &self.view
    }

    /// Who appends; None where nobody does.
    pub fn requester_oid(&self) -> Option<&str> {
        self.request.as_ref().map(|request| &*request.requester_oid)
    }

    /// The engine's clock at the append, in ms since the Unix epoch; None where nobody appends.
    pub fn recorded_at(&self) -> Option<i64> {
        self.request.as_ref().map(|request| request.recorded_at)
    }

    /// The newest entry with this record id, in this stream where one is given.
    pub fn latest_by_id(&self, id: &str, stream: Option<&str>) -> Result<Option<ChainEntry>> {
        self.read(|read| read.latest_by_id(id, stream, &EVERYTHING))
    }

    /// All entries with this record id, in this stream where one is given, oldest first.
    pub fn history(&self, id: &str, stream: Option<&str>) -> Result<Vec<ChainEntry>> {
        self.read(|read| collect_history(id, stream, |filters| read.page(filters, &EVERYTHING)))
    }

    /// One page of matching entries.
    pub fn query(&self, filters: &QueryFilters) -> Result<QueryPage> {
        filters.validate()?;
        self.read(|read| read.page(filters, &EVERYTHING))
    }

    /// Reads in one state.
    fn read<T>(&self, work: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
        match &self.view {
            LedgerView::Transaction(open) => self.still_open(open, open.with(|transaction| work(transaction))),
            LedgerView::Committed(storage) => work(&mut *storage.read()?),
        }
    }

    fn still_open<T>(&self, open: &OpenTransaction, result: Result<T>) -> Result<T> {
        match result {
            Err(Error::Closed) if open.ended() => Err(Error::Module {
                module_id: self.module_id.to_string(),
                message: "a hook's context was used after the hook had ended; read what is needed inside it".to_owned(),
                cause: None,
            }),
            result => result,
        }
    }
}
