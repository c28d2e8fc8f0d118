//! `AccessControl`: grants, checks and their history.

use std::sync::Arc;

use nucleus_core::InvalidRecord;
use nucleus_engine::access::{Explanation, Moment, Period};
use nucleus_engine::model::{Grant, GrantRequest, Resource, Scope};
use nucleus_engine::{Error, LedgerEngine};
use pyo3::prelude::*;

use crate::chain::{ChainEntry, wrap_all};
use crate::errors::{detached, to_python};
use crate::numbers::{Count, Milliseconds};
use crate::values::{AsPython, member};

/// What is to be granted or ended: a sequence of `nucleus.access.AclGrant`.
fn requests(grants: &Bound<'_, PyAny>) -> PyResult<Vec<GrantRequest>> {
    grants.try_iter()?.enumerate().map(|(position, grant)| request(position, &grant?)).collect()
}

fn request(position: usize, grant: &Bound<'_, PyAny>) -> PyResult<GrantRequest> {
    let scope: String = member!(grant, "scope")?;
    let scope = scope.parse().map_err(|error: Error| {
        let error = InvalidRecord::new(error.to_string()).within_key("scope").within_index(position);
        to_python(grant.py(), error.into())
    })?;
    Ok(GrantRequest {
        resource: Resource { kind: member!(grant, "resource_kind")?, id: member!(grant, "resource_id")? },
        principal_oid: member!(grant, "principal_oid")?,
        scope,
        exp: member!(grant, "exp")?,
    })
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

    fn grant(&self, py: Python<'_>, grants: &Bound<'_, PyAny>, requester_oid: &str) -> PyResult<Vec<Py<ChainEntry>>> {
        let grants = requests(grants)?;
        let entries = detached(py, || self.inner.grant(&grants, requester_oid))?;
        wrap_all(py, entries)
    }

    #[pyo3(signature = (grants, requester_oid, *, allow_last_full=false))]
    fn revoke(
        &self,
        py: Python<'_>,
        grants: &Bound<'_, PyAny>,
        requester_oid: &str,
        allow_last_full: bool,
    ) -> PyResult<Vec<Py<ChainEntry>>> {
        let grants = requests(grants)?;
        let entries = detached(py, || self.inner.revoke(&grants, requester_oid, allow_last_full))?;
        wrap_all(py, entries)
    }

    fn check(&self, py: Python<'_>, principal_oid: &str, scope: &str, kind: String, id: String) -> PyResult<bool> {
        self.with_resource(py, kind, id, |engine, resource| engine.check(principal_oid, scope.parse()?, resource))
    }

    #[pyo3(signature = (*, principal_oid=None, resource=None))]
    fn grants(
        &self,
        py: Python<'_>,
        principal_oid: Option<&str>,
        resource: Option<(String, String)>,
    ) -> PyResult<Vec<AsPython<Grant>>> {
        let resource = resource.map(|(kind, id)| Resource { kind, id });
        let grants = detached(py, || self.inner.grants(principal_oid, resource.as_ref()))?;
        Ok(grants.into_iter().map(AsPython).collect())
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

    fn history(&self, py: Python<'_>, kind: String, id: String) -> PyResult<Vec<AsPython<Period>>> {
        let periods = self.with_resource(py, kind, id, LedgerEngine::access_history)?;
        Ok(periods.into_iter().map(AsPython).collect())
    }

    #[pyo3(signature = (principal_oid, scope, kind, id, *, requester_oid=None, at_seq=None, at_time=None))]
    #[allow(clippy::too_many_arguments)]
    fn explain(
        &self,
        py: Python<'_>,
        principal_oid: &str,
        scope: &str,
        kind: String,
        id: String,
        requester_oid: Option<&str>,
        at_seq: Option<Count>,
        at_time: Option<Milliseconds>,
    ) -> PyResult<AsPython<Explanation>> {
        let seq = at_seq.map(|seq| Moment::Seq(seq.0));
        let at = seq.or(at_time.map(|time| Moment::Time(time.0)));
        let explained = self.with_resource(py, kind, id, |engine, resource| {
            let scope: Scope = scope.parse()?;
            engine.explain(principal_oid, scope, resource, at, requester_oid)
        })?;
        let reason = format!("{principal_oid} {}", explained.reason);
        Ok(AsPython(Explanation { reason, ..explained }))
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
