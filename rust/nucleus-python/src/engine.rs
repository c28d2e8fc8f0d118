//! `Engine` and `QueryPage`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nucleus_core::{CanonicalJson, InvalidRecord};
use nucleus_engine::{
    AccessConfig, AppendOptions, Environment, Error, FieldValues, LedgerConfig, LedgerEngine, QueryFilters, Status,
    Storage,
};
use nucleus_sqlite::{Durability, SqliteConfig, SqliteStorage};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::access::AccessControl;
use crate::chain::{ChainEntry, entries_argument, hash_argument};
use crate::errors::{Failure, detached, to_python};
use crate::interpreter::{self, attached};
use crate::json;
use crate::modules::{ModuleInfo, PythonModule, module_arguments};
use crate::numbers::{Count, Milliseconds};
use crate::records::{Record, now_ms};
use crate::report::VerificationReport;

/// A head, as Python sees it.
type SeqAndHash = (u64, String);

/// One open ledger.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct Engine {
    inner: Arc<LedgerEngine>,
    closed: std::sync::atomic::AtomicBool,
}

/// One page of a query.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct QueryPage {
    entries: Vec<Py<ChainEntry>>,
    next_cursor: Option<String>,
    total: Option<u64>,
}

impl QueryPage {
    pub(crate) fn wrap(py: Python<'_>, page: nucleus_engine::QueryPage) -> PyResult<Self> {
        Ok(Self {
            next_cursor: page.next_cursor.map(|cursor| cursor.to_string()),
            total: page.total,
            entries: wrap_all(py, page.entries)?,
        })
    }
}

#[pymethods]
impl QueryPage {
    #[getter]
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.entries.iter().map(|entry| entry.bind(py)))
    }

    #[getter]
    fn has_more(&self) -> bool {
        self.next_cursor.is_some()
    }

    #[getter]
    fn next_cursor(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    #[getter]
    fn total(&self) -> Option<u64> {
        self.total
    }

    fn __repr__(&self) -> String {
        format!("<QueryPage of {} entries, has_more={}>", self.entries.len(), self.has_more())
    }
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

pub(crate) fn wrap(py: Python<'_>, entry: nucleus_core::ChainEntry) -> PyResult<Py<ChainEntry>> {
    Py::new(py, ChainEntry { inner: entry })
}

pub(crate) fn wrap_all(py: Python<'_>, entries: Vec<nucleus_core::ChainEntry>) -> PyResult<Vec<Py<ChainEntry>>> {
    entries.into_iter().map(|entry| wrap(py, entry)).collect()
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        *, id=None, path=None, read_only=false, durability="full", busy_timeout_ms=Count(30_000), max_record_bytes=Count(16_777_216),
        verify_on_open=true, accept_rollback=false, expected_head=None, expected_length=None, modules=None, access=None, progress=None
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
        access: Option<(String, String, bool)>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let (modules, factory) = module_arguments(py, modules)?;
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
                Some((administrator_oid, creation, kinds_as_stored)) => {
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
        payload: Option<&Bound<'_, PyDict>>,
        after: Option<&str>,
        limit: Count,
    ) -> PyResult<Vec<String>> {
        let payload = payload.map_or(Ok(Vec::new()), payload_filters).map_err(|error| to_python(py, error.into()))?;
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

    #[pyo3(signature = (
        requester_oid, *, stream=None, id=None, since=None, until=None, payload=None, limit=Count(100), offset=Count(0),
        cursor=None, order="asc", with_total=false, latest_only=false, status=None
    ))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn query(
        &self,
        py: Python<'_>,
        requester_oid: &str,
        stream: Option<String>,
        id: Option<String>,
        since: Option<Milliseconds>,
        until: Option<Milliseconds>,
        payload: Option<&Bound<'_, PyDict>>,
        limit: Count,
        offset: Count,
        cursor: Option<&str>,
        order: &str,
        with_total: bool,
        latest_only: bool,
        status: Option<&str>,
    ) -> PyResult<QueryPage> {
        let arguments = QueryArguments {
            stream,
            id,
            since,
            until,
            payload,
            limit,
            offset,
            cursor,
            order,
            with_total,
            latest_only,
            status,
        };
        let filters = arguments.filters().map_err(|error| to_python(py, error.into()))?;
        let page = detached(py, || self.inner.query(&filters, requester_oid))?;
        QueryPage::wrap(py, page)
    }

    fn head(&self, py: Python<'_>) -> PyResult<Option<(u64, String)>> {
        let head = detached(py, || self.inner.head())?;
        Ok(head.map(|head| (head.seq, head.hash.to_string())))
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
    fn backup(&self, py: Python<'_>, path: PathBuf, progress: Option<Py<PyAny>>) -> PyResult<Option<(u64, String)>> {
        let head = with_progress(py, progress.as_ref(), |progress| self.inner.backup(&path, progress))?;
        Ok(head.map(|head| (head.seq, head.hash.to_string())))
    }

    #[pyo3(signature = (target, *, replace=false, progress=None))]
    fn restore_to(
        &self,
        py: Python<'_>,
        target: PathBuf,
        replace: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Option<SeqAndHash>, Option<PathBuf>)> {
        let restored =
            with_progress(py, progress.as_ref(), |progress| self.inner.restore_to(&target, replace, progress))?;
        Ok((restored.head.map(|head| (head.seq, head.hash.to_string())), restored.replaced))
    }

    fn scrub_pending(&self) -> bool {
        self.inner.scrub_pending()
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = detached(py, || self.inner.stats())?;
        let streams = PyDict::new(py);
        for (stream, count) in &stats.streams {
            streams.set_item(stream, count)?;
        }
        let dict = PyDict::new(py);
        dict.set_item("entries", stats.entries)?;
        dict.set_item("head", stats.head.map(|head| (head.seq, head.hash.to_string())))?;
        dict.set_item("streams", streams)?;
        dict.set_item("redacted", stats.redacted)?;
        dict.set_item("first_timestamp", stats.first_timestamp)?;
        dict.set_item("last_timestamp", stats.last_timestamp)?;
        dict.set_item("created_at", stats.created_at)?;
        dict.set_item("database_bytes", stats.database_bytes)?;
        dict.set_item("wal_bytes", stats.wal_bytes)?;
        dict.set_item("scrub_pending", stats.scrub_pending)?;
        Ok(dict)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.closed.store(true, std::sync::atomic::Ordering::Release);
        detached(py, || self.inner.close())
    }
}

/// The keyword arguments of a query.
pub(crate) struct QueryArguments<'a, 'py> {
    pub(crate) stream: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) since: Option<Milliseconds>,
    pub(crate) until: Option<Milliseconds>,
    pub(crate) payload: Option<&'a Bound<'py, PyDict>>,
    pub(crate) limit: Count,
    pub(crate) offset: Count,
    pub(crate) cursor: Option<&'a str>,
    pub(crate) order: &'a str,
    pub(crate) with_total: bool,
    pub(crate) latest_only: bool,
    pub(crate) status: Option<&'a str>,
}

impl QueryArguments<'_, '_> {
    pub(crate) fn filters(self) -> nucleus_engine::Result<QueryFilters> {
        let status = self.status.map(str::parse::<Status>).transpose()?;
        Ok(QueryFilters {
            stream: self.stream,
            id: self.id,
            since: self.since.map(|time| time.0),
            until: self.until.map(|time| time.0),
            payload: self.payload.map_or(Ok(Vec::new()), payload_filters)?,
            latest_only: self.latest_only,
            tests: status.map_or_else(Vec::new, |status| status.tests(now_ms() / 1000)),
            limit: self.limit.0 as usize,
            offset: self.offset.0,
            cursor: self.cursor.map(str::parse).transpose()?,
            order: self.order.parse()?,
            with_total: self.with_total,
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

fn payload_filters(payload: &Bound<'_, PyDict>) -> Result<Vec<(String, CanonicalJson)>, InvalidRecord> {
    let mut filters = Vec::with_capacity(payload.len());
    for (key, value) in payload.iter() {
        let Ok(key) = key.cast_into::<pyo3::types::PyString>() else {
            return Err(InvalidRecord::new("a payload filter's keys must be strings"));
        };
        let key = json::utf8(&key)?.to_owned();
        let mut out = String::new();
        json::write(&value, &mut out).map_err(|error| error.within_key(&key))?;
        filters.push((key, CanonicalJson::from_canonical(out)));
    }
    Ok(filters)
}

/// The same refusal, with the position in the batch.
fn at_position(failure: Failure, position: usize) -> Failure {
    match failure {
        Failure::Engine(Error::InvalidRecord(error)) => error.within_index(position).into(),
        other => other,
    }
}
