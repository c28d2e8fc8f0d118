//! Access control as the Python package calls it: grants and their history as plain tuples.

use std::sync::Arc;

use nucleus_core::InvalidRecord;
use nucleus_engine::access::{End, Moment, Period};
use nucleus_engine::model::{Grant, GrantRequest, Resource, Scope};
use nucleus_engine::{Error, LedgerEngine};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::chain::ChainEntry;
use crate::engine::wrap_all;
use crate::errors::detached;
use crate::numbers::{Count, Milliseconds};

/// `(kind, id, principal_oid, scope, source, granted_by, exp, created_at, seq)`
type GrantTuple = (String, String, String, &'static str, &'static str, String, Option<i64>, i64, u64);

/// `(grant, hash, (seq, hash, ended_at, ended_by) or None)`
type PeriodTuple = (GrantTuple, String, Option<(u64, String, i64, String)>);

/// `(kind, id, principal_oid, scope, exp)`
type RequestTuple = (String, String, String, String, Option<i64>);

fn grant_tuple(grant: Grant) -> GrantTuple {
    let Grant { resource, principal_oid, scope, source, granted_by, exp, created_at, seq } = grant;
    (resource.kind, resource.id, principal_oid, scope.name(), source.name(), granted_by, exp, created_at, seq)
}

fn period_tuple(period: Period) -> PeriodTuple {
    let end = period.end.map(|End { seq, hash, ended_at, ended_by }| (seq, hash.to_string(), ended_at, ended_by));
    (grant_tuple(period.grant), period.hash.to_string(), end)
}

fn requests(tuples: Vec<RequestTuple>) -> nucleus_engine::Result<Vec<GrantRequest>> {
    let request = |(position, (kind, id, principal_oid, scope, exp)): (usize, RequestTuple)| {
        let scope = scope.parse().map_err(|error: Error| {
            Error::InvalidRecord(InvalidRecord::new(error.to_string()).within_key("scope").within_index(position))
        })?;
        Ok(GrantRequest { resource: Resource { kind, id }, principal_oid, scope, exp })
    };
    tuples.into_iter().enumerate().map(request).collect()
}

/// Access control of one open ledger.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct AccessControl {
    pub(crate) inner: Arc<LedgerEngine>,
}

impl AccessControl {
    fn with_resource<T: Send>(
        &self,
        py: Python<'_>,
        kind: String,
        id: String,
        work: impl FnOnce(&LedgerEngine, &Resource) -> nucleus_engine::Result<T> + Send,
    ) -> PyResult<T> {
        detached(py, || work(&self.inner, &Resource { kind, id }))
    }
}

#[pymethods]
impl AccessControl {
    #[getter]
    fn administrator(&self) -> Option<&str> {
        self.inner.administrator_oid()
    }

    fn grant(&self, py: Python<'_>, grants: Vec<RequestTuple>, requester_oid: &str) -> PyResult<Vec<Py<ChainEntry>>> {
        let entries = detached(py, || self.inner.grant(&requests(grants)?, requester_oid))?;
        wrap_all(py, entries)
    }

    #[pyo3(signature = (grants, requester_oid, *, allow_last_full=false))]
    fn revoke(
        &self,
        py: Python<'_>,
        grants: Vec<RequestTuple>,
        requester_oid: &str,
        allow_last_full: bool,
    ) -> PyResult<Vec<Py<ChainEntry>>> {
        let entries = detached(py, || self.inner.revoke(&requests(grants)?, requester_oid, allow_last_full))?;
        wrap_all(py, entries)
    }

    fn check(&self, py: Python<'_>, principal_oid: &str, scope: &str, kind: String, id: String) -> PyResult<bool> {
        self.with_resource(py, kind, id, |engine, resource| engine.check(principal_oid, scope.parse()?, resource))
    }

    #[pyo3(signature = (*, principal_oid=None, resource=None))]
    fn grants<'py>(
        &self,
        py: Python<'py>,
        principal_oid: Option<&str>,
        resource: Option<(String, String)>,
    ) -> PyResult<Bound<'py, PyList>> {
        let resource = resource.map(|(kind, id)| Resource { kind, id });
        let grants = detached(py, || self.inner.grants(principal_oid, resource.as_ref()))?;
        PyList::new(py, grants.into_iter().map(grant_tuple))
    }

    #[pyo3(signature = (requester_oid, *, principal_oid=None, resource=None))]
    fn authorise_inquiry(
        &self,
        py: Python<'_>,
        requester_oid: &str,
        principal_oid: Option<&str>,
        resource: Option<(String, String)>,
    ) -> PyResult<()> {
        let resource = resource.map(|(kind, id)| Resource { kind, id });
        detached(py, || self.inner.authorise_inquiry(requester_oid, principal_oid, resource.as_ref()))
    }

    fn history<'py>(&self, py: Python<'py>, kind: String, id: String) -> PyResult<Bound<'py, PyList>> {
        let periods = self.with_resource(py, kind, id, LedgerEngine::access_history)?;
        PyList::new(py, periods.into_iter().map(period_tuple))
    }

    #[pyo3(signature = (principal_oid, scope, kind, id, *, requester_oid=None, at_seq=None, at_time=None))]
    #[allow(clippy::too_many_arguments)]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        principal_oid: &str,
        scope: &str,
        kind: String,
        id: String,
        requester_oid: Option<&str>,
        at_seq: Option<Count>,
        at_time: Option<Milliseconds>,
    ) -> PyResult<(bool, String, Option<Bound<'py, PyAny>>)> {
        let seq = at_seq.map(|seq| Moment::Seq(seq.0));
        let at = seq.or(at_time.map(|time| Moment::Time(time.0)));
        let explained = self.with_resource(py, kind, id, |engine, resource| {
            let scope: Scope = scope.parse()?;
            engine.explain(principal_oid, scope, resource, at, requester_oid)
        })?;
        let period = explained.period.map(|period| period_tuple(period).into_pyobject(py)).transpose()?;
        Ok((explained.allowed, explained.reason, period.map(Bound::into_any)))
    }

    fn streams_of_kind(&self, py: Python<'_>, kind: &str) -> PyResult<Vec<String>> {
        detached(py, || self.inner.streams_of_kind(kind))
    }

    fn cleanup_expired(&self, py: Python<'_>, requester_oid: &str) -> PyResult<u64> {
        detached(py, || self.inner.cleanup_expired(requester_oid))
    }

    fn rebuild(&self, py: Python<'_>, requester_oid: &str) -> PyResult<()> {
        detached(py, || self.inner.rebuild_grants(requester_oid))
    }
}
