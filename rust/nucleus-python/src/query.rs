//! `QueryPage`, and what a query asks for.

use nucleus_core::{CanonicalJson, InvalidRecord};
use nucleus_engine::{Cursor, Error, Order, QueryFilters, Status};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::chain::{ChainEntry, wrap_all};
use crate::errors::{Failure, to_python};
use crate::json;
use crate::numbers::{Count, Milliseconds};
use crate::records::now_ms;
use crate::values::member;

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
    #[new]
    #[pyo3(signature = (entries, next_cursor=None, total=None))]
    fn new(entries: Vec<Py<ChainEntry>>, next_cursor: Option<String>, total: Option<Count>) -> Self {
        Self { entries, next_cursor, total: total.map(|count| count.0) }
    }

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

/// What a query asks for, as Python says it.
pub(crate) struct QueryArguments<'py> {
    pub(crate) stream: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) since: Option<Milliseconds>,
    pub(crate) until: Option<Milliseconds>,
    pub(crate) payload: Option<Bound<'py, PyAny>>,
    pub(crate) limit: Count,
    pub(crate) offset: Count,
    pub(crate) cursor: Option<String>,
    pub(crate) order: String,
    pub(crate) with_total: bool,
    pub(crate) latest_only: bool,
    pub(crate) status: Option<String>,
}

impl<'py> QueryArguments<'py> {
    /// Reads a `nucleus.QueryFilters`.
    pub(crate) fn of(filters: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            stream: member!(filters, "stream")?,
            id: member!(filters, "id")?,
            since: member!(filters, "since")?,
            until: member!(filters, "until")?,
            payload: member!(filters, "payload")?,
            limit: member!(filters, "limit")?,
            offset: member!(filters, "offset")?,
            cursor: member!(filters, "cursor")?,
            order: member!(filters, "order")?,
            with_total: member!(filters, "with_total")?,
            latest_only: member!(filters, "latest_only")?,
            status: member!(filters, "status")?,
        })
    }

    pub(crate) fn filters(self) -> Result<QueryFilters, Failure> {
        let status = self.status.as_deref().map(str::parse::<Status>).transpose()?;
        Ok(QueryFilters {
            stream: self.stream,
            id: self.id,
            since: self.since.map(|time| time.0),
            until: self.until.map(|time| time.0),
            payload: self.payload.as_ref().map_or(Ok(Vec::new()), payload_filters)?,
            latest_only: self.latest_only,
            tests: status.map_or_else(Vec::new, |status| status.tests(now_ms() / 1000)),
            limit: self.limit.0 as usize,
            offset: self.offset.0,
            cursor: self.cursor.as_deref().map(str::parse).transpose()?,
            order: self.order.parse()?,
            with_total: self.with_total,
        })
    }
}

/// The cursor of a query's page that ends with an entry.
#[pyfunction]
pub(crate) fn query_cursor(py: Python<'_>, seq: Count, order: &str) -> PyResult<String> {
    let order: Order = order.parse().map_err(|error: Error| to_python(py, error.into()))?;
    let after_seq = i64::try_from(seq.0).unwrap_or(i64::MAX);
    Ok(Cursor { after_seq, order }.to_string())
}

/// The members of a mapping, each with its value in canonical form.
pub(crate) fn payload_filters(payload: &Bound<'_, PyAny>) -> Result<Vec<(String, CanonicalJson)>, Failure> {
    let payload = json::plain_dict(payload).map_err(Failure::Python)?;
    let mut filters = Vec::with_capacity(payload.len());
    for (key, value) in payload.iter() {
        let Ok(key) = key.cast_into::<PyString>() else {
            return Err(InvalidRecord::new("a payload filter's keys must be strings").into());
        };
        let key = json::utf8(&key)?.to_owned();
        let mut out = String::new();
        json::write(&value, &mut out).map_err(|error| error.within_key(&key))?;
        filters.push((key, CanonicalJson::from_canonical(out)));
    }
    Ok(filters)
}
