//! `Engine`: one open ledger.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nucleus_core::entry::Head;
use nucleus_engine::store::Restored;
use nucleus_engine::{
    AccessConfig, AppendOptions, DEFAULT_MAX_RECORD_BYTES, Environment, Error, FieldValues, LedgerConfig, LedgerEngine,
    Stats, Storage,
};
use nucleus_sqlite::{Durability, SqliteConfig, SqliteStorage};
use pyo3::prelude::*;

use crate::access::AccessControl;
use crate::chain::{ChainEntry, entries_argument, hash_argument, wrap, wrap_all};
use crate::errors::{Failure, detached, to_python};
use crate::interpreter::{self, attached};
use crate::modules::{ModuleInfo, PythonModule, module_arguments};
use crate::numbers::Count;
use crate::query::{QueryArguments, QueryPage, payload_filters};
use crate::records::Record;
use crate::report::VerificationReport;
use crate::values::{AsPython, member};

/// How long another process's lock is waited for, where nothing else is said.
pub(crate) const BUSY_TIMEOUT_MS: u64 = 30_000;

/// Largest record accepted, where nothing else is said.
pub(crate) const MAX_RECORD_BYTES: u64 = DEFAULT_MAX_RECORD_BYTES as u64;

/// One open ledger.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct Engine {
    inner: Arc<LedgerEngine>,
    closed: std::sync::atomic::AtomicBool,
}

/// Runs long work detached; the caller's progress callback and pending signals are served in between, attached.
fn with_progress<T: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce(&mut dyn FnMut(u64, u64) -> nucleus_engine::Result<()>) -> nucleus_engine::Result<T> + Send,
) -> PyResult<T> {
    let mut raised: Option<PyErr> = None;
    let result = interpreter::detached(py, || {
        work(&mut |done, total| {
            attached(|py| {
                let call = || -> PyResult<()> {
                    py.check_signals()?;
                    if let Some(progress) = progress {
                        progress.call1(py, (done, total))?;
                    }
                    Ok(())
                };
                call().map_err(|error| {
                    raised = Some(error);
                    Error::Interrupted
                })
            })
        })
    });
    match (result, raised) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(error)) => Err(to_python(py, Failure::Python(error))),
        (Err(error), None) => Err(to_python(py, error.into())),
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        *, id=None, path=None, read_only=false, durability="full", busy_timeout_ms=Count(BUSY_TIMEOUT_MS), max_record_bytes=Count(MAX_RECORD_BYTES),
        verify_on_open=true, accept_rollback=false, expected_head=None, expected_length=None, modules=None, access=None,
        kinds_as_stored=false, progress=None
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn new(
        py: Python<'_>,
        id: Option<String>,
        path: Option<PathBuf>,
        read_only: bool,
        durability: &str,
        busy_timeout_ms: Count,
        max_record_bytes: Count,
        verify_on_open: bool,
        accept_rollback: bool,
        expected_head: Option<&str>,
        expected_length: Option<Count>,
        modules: Option<&Bound<'_, PyAny>>,
        access: Option<&Bound<'_, PyAny>>,
        kinds_as_stored: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let (modules, factory) = module_arguments(py, modules)?;
        let access: Option<(String, String)> = access
            .map(|access| Ok::<_, PyErr>((member!(access, "administrator")?, member!(access, "creation")?)))
            .transpose()?;
        let inner = with_progress(py, progress.as_ref(), |progress| {
            let durability = match durability {
                "full" => Durability::Full,
                "normal" => Durability::Normal,
                _ => {
                    return Err(Error::Config("durability must be \"full\" or \"normal\"".to_owned()));
                }
            };
            let busy_timeout = Duration::from_millis(busy_timeout_ms.0.min(i32::MAX as u64));
            let access = match access {
                None => None,
                Some((administrator_oid, creation)) => {
                    Some(AccessConfig { administrator_oid, creation: creation.parse()?, kinds_as_stored })
                }
            };
            let config = LedgerConfig {
                max_record_bytes: max_record_bytes.0 as usize,
                verify_on_open,
                accept_rollback,
                expected_head: expected_head.map(|text| hash_argument("expected_head", text)).transpose()?,
                expected_length: expected_length.map(|count| count.0),
                modules,
                access,
            };
            config.validate()?;
            let environment = Environment::system();
            let storage: Arc<dyn Storage> = match (path, &id) {
                (None, None) => {
                    return Err(Error::Config("a ledger in memory is always new: give it an id".to_owned()));
                }
                (None, Some(id)) => Arc::new(SqliteStorage::in_memory(id, &environment)?),
                (Some(path), id) => {
                    let sqlite = SqliteConfig { path, read_only, durability, busy_timeout };
                    Arc::new(SqliteStorage::open(&sqlite, id.as_deref(), accept_rollback, &environment)?)
                }
            };
            LedgerEngine::open(storage, &config, &factory, environment, progress)
        })?;
        Ok(Self { inner: Arc::new(inner), closed: std::sync::atomic::AtomicBool::new(false) })
    }

    #[getter]
    fn id(&self) -> &str {
        self.inner.id()
    }

    #[getter]
    fn path(&self) -> Option<String> {
        self.inner.path().map(|path| path.to_string_lossy().into_owned())
    }

    #[getter]
    fn read_only(&self) -> bool {
        self.inner.read_only()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(std::sync::atomic::Ordering::Acquire)
    }

    #[pyo3(signature = (record, requester_oid, *, unique=false, expected_head=None))]
    fn append(
        &self,
        py: Python<'_>,
        record: &Bound<'_, PyAny>,
        requester_oid: &str,
        unique: bool,
        expected_head: Option<&str>,
    ) -> PyResult<Py<ChainEntry>> {
        let record = Record::argument(record).map_err(|failure| to_python(py, failure))?;
        let entries = detached(py, || {
            let expected_head = expected_head.map(|text| hash_argument("expected_head", text)).transpose()?;
            self.inner.append(vec![record], requester_oid, AppendOptions { unique, expected_head, batch: false })
        })?;
        match entries.into_iter().next() {
            Some(entry) => wrap(py, entry),
            None => Err(to_python(py, Error::Closed.into())),
        }
    }

    #[pyo3(signature = (records, requester_oid, *, expected_head=None))]
    fn append_batch(
        &self,
        py: Python<'_>,
        records: &Bound<'_, PyAny>,
        requester_oid: &str,
        expected_head: Option<&str>,
    ) -> PyResult<Vec<Py<ChainEntry>>> {
        let mut owned = Vec::with_capacity(records.len().unwrap_or(0));
        for (position, record) in records.try_iter()?.enumerate() {
            let record = Record::argument(&record?).map_err(|failure| to_python(py, at_position(failure, position)))?;
            owned.push(record);
        }
        let entries = detached(py, || {
            let expected_head = expected_head.map(|text| hash_argument("expected_head", text)).transpose()?;
            self.inner.append(owned, requester_oid, AppendOptions { unique: false, expected_head, batch: true })
        })?;
        wrap_all(py, entries)
    }

    fn access(&self) -> Option<AccessControl> {
        self.inner.administrator_oid().map(|_| AccessControl { inner: Arc::clone(&self.inner) })
    }

    fn authorise_export(&self, py: Python<'_>, requester_oid: &str) -> PyResult<()> {
        detached(py, || self.inner.authorise_export(requester_oid))
    }

    fn get(&self, py: Python<'_>, hash: &str, requester_oid: &str) -> PyResult<Option<Py<ChainEntry>>> {
        let entry = detached(py, || self.inner.get(&hash_argument("hash", hash)?, requester_oid))?;
        entry.map(|entry| wrap(py, entry)).transpose()
    }

    #[pyo3(signature = (id, requester_oid, *, stream=None))]
    fn get_by_id(
        &self,
        py: Python<'_>,
        id: &str,
        requester_oid: &str,
        stream: Option<&str>,
    ) -> PyResult<Option<Py<ChainEntry>>> {
        let entry = detached(py, || self.inner.get_by_id(id, stream, requester_oid))?;
        entry.map(|entry| wrap(py, entry)).transpose()
    }

    #[pyo3(signature = (id, requester_oid, *, stream=None))]
    fn history(
        &self,
        py: Python<'_>,
        id: &str,
        requester_oid: &str,
        stream: Option<&str>,
    ) -> PyResult<Vec<Py<ChainEntry>>> {
        let entries = detached(py, || self.inner.history(id, stream, requester_oid))?;
        wrap_all(py, entries)
    }

    #[pyo3(signature = (stream, field, requester_oid, *, payload=None, after=None, limit=Count(100)))]
    #[allow(clippy::too_many_arguments)]
    fn field_values(
        &self,
        py: Python<'_>,
        stream: &str,
        field: &str,
        requester_oid: &str,
        payload: Option<&Bound<'_, PyAny>>,
        after: Option<&str>,
        limit: Count,
    ) -> PyResult<Vec<String>> {
        let payload = payload.map_or(Ok(Vec::new()), payload_filters).map_err(|failure| to_python(py, failure))?;
        detached(py, || {
            let limit = limit.0 as usize;
            let query = FieldValues { stream, field, payload: &payload, after, limit };
            self.inner.field_values(&query, requester_oid)
        })
    }

    fn modules(&self) -> Vec<ModuleInfo> {
        self.inner.modules().infos().into_iter().map(|inner| ModuleInfo { inner }).collect()
    }

    fn implementation(&self, py: Python<'_>, id: &str) -> PyResult<Option<Py<PyAny>>> {
        let modules = self.inner.modules();
        if let Some(module) = modules.get::<PythonModule>(id) {
            return Ok(Some(module.object(py)));
        }
        match modules.info(id) {
            Some(_) => Ok(None),
            None => Err(to_python(py, unknown_module(id, &modules.list_ids()).into())),
        }
    }

    fn range(
        &self,
        py: Python<'_>,
        start_seq: Count,
        limit: Count,
        requester_oid: &str,
    ) -> PyResult<Vec<Py<ChainEntry>>> {
        let entries = detached(py, || self.inner.range(start_seq.0, limit.0 as usize, requester_oid))?;
        wrap_all(py, entries)
    }

    fn query(&self, py: Python<'_>, filters: &Bound<'_, PyAny>, requester_oid: &str) -> PyResult<QueryPage> {
        let filters = QueryArguments::of(filters)?.filters().map_err(|failure| to_python(py, failure))?;
        let page = detached(py, || self.inner.query(&filters, requester_oid))?;
        QueryPage::wrap(py, page)
    }

    fn head(&self, py: Python<'_>) -> PyResult<Option<AsPython<Head>>> {
        Ok(detached(py, || self.inner.head())?.map(AsPython))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || self.inner.length()).map(|length| length as usize)
    }

    #[pyo3(signature = (*, deep=false, expected_head=None, expected_length=None, progress=None))]
    fn verify(
        &self,
        py: Python<'_>,
        deep: bool,
        expected_head: Option<&str>,
        expected_length: Option<Count>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<VerificationReport> {
        let inner = with_progress(py, progress.as_ref(), |progress| {
            let expected_head = expected_head.map(|text| hash_argument("expected_head", text)).transpose()?;
            self.inner.verify(deep, expected_head.as_ref(), expected_length.map(|count| count.0), progress)
        })?;
        Ok(VerificationReport { inner })
    }

    fn redact(&self, py: Python<'_>, hash: &str, reason: &str, requester_oid: &str) -> PyResult<Py<ChainEntry>> {
        let entry = detached(py, || self.inner.redact(&hash_argument("hash", hash)?, reason, requester_oid))?;
        wrap(py, entry)
    }

    fn import_entries(&self, py: Python<'_>, entries: &Bound<'_, PyAny>, requester_oid: &str) -> PyResult<u64> {
        let entries = entries_argument(entries)?;
        detached(py, || self.inner.import(entries, requester_oid))
    }

    #[pyo3(signature = (path, progress=None))]
    fn backup(&self, py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<Option<AsPython<Head>>> {
        let head = with_progress(py, progress.as_ref(), |progress| self.inner.backup(&path, progress))?;
        Ok(head.map(AsPython))
    }

    #[pyo3(signature = (target, *, replace=false, progress=None))]
    fn restore_to(
        &self,
        py: Python<'_>,
        target: PathBuf,
        replace: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<AsPython<Restored>> {
        with_progress(py, progress.as_ref(), |progress| self.inner.restore_to(&target, replace, progress)).map(AsPython)
    }

    fn scrub_pending(&self) -> bool {
        self.inner.scrub_pending()
    }

    fn stats(&self, py: Python<'_>) -> PyResult<AsPython<Stats>> {
        detached(py, || self.inner.stats()).map(AsPython)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            let closing = self.inner.close();
            // One that was refused stays open; one that failed has let go of the database all the same.
            if closing.is_ok() || matches!(self.inner.length(), Err(Error::Closed)) {
                self.closed.store(true, std::sync::atomic::Ordering::Release);
            }
            closing
        })
    }
}

fn unknown_module(id: &str, known: &[&str]) -> Error {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::UnknownModule {
        module_id: id.to_owned(),
        message: format!(
            "the ledger runs no module `{}` (it runs: {known}); name it in create_ledger(modules=[...])",
            nucleus_core::error::shortened(id).escape_debug()
        ),
    }
}

/// The same refusal, with the position in the batch.
fn at_position(failure: Failure, position: usize) -> Failure {
    match failure {
        Failure::Engine(Error::InvalidRecord(error)) => error.within_index(position).into(),
        other => other,
    }
}
