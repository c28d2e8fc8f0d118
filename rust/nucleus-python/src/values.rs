//! Values that are plain Python classes of the package: read from them, and built as them.

use std::path::PathBuf;

use nucleus_engine::access::{Explanation, Period};
use nucleus_engine::model::Grant;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyType};

/// Reads one member of an object, by its name, which is made a Python string once.
macro_rules! member {
    ($object:expr, $name:literal) => {
        $crate::values::read_member($object, pyo3::intern!($object.py(), $name))
    };
}
pub(crate) use member;

/// Reads one member of an object; what is of another type is refused by the member's name.
pub(crate) fn read_member<'py, T>(object: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error: Into<PyErr>>,
{
    let value = object.getattr(name)?;
    value.extract().map_err(|error: <T as FromPyObject<'_, 'py>>::Error| {
        let py = object.py();
        let error: PyErr = error.into();
        if error.is_instance_of::<PyTypeError>(py) {
            PyTypeError::new_err(format!("`{name}`: {}", error.value(py)))
        } else {
            error
        }
    })
}

/// A class of the package, imported once.
struct Class {
    module: &'static str,
    name: &'static str,
    imported: PyOnceLock<Py<PyType>>,
}

impl Class {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, imported: PyOnceLock::new() }
    }

    fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.imported.import(py, self.module, self.name)
    }
}

static HEAD: Class = Class::new("nucleus.figures", "Head");
static LEDGER_STATS: Class = Class::new("nucleus.figures", "LedgerStats");
static RESTORED: Class = Class::new("nucleus.figures", "Restored");
static ACL_GRANT: Class = Class::new("nucleus.access.grants", "AclGrant");
static ACCESS_PERIOD: Class = Class::new("nucleus.access.grants", "AccessPeriod");
static EXPLANATION: Class = Class::new("nucleus.access.grants", "Explanation");
static PATH: Class = Class::new("pathlib", "Path");

/// An engine's value on its way to Python.
pub(crate) struct AsPython<T>(pub(crate) T);

type Built<'py> = PyResult<Bound<'py, PyAny>>;

/// Of what a Python object is built; arguments stand in the order of the class's own members.
pub(crate) trait Build {
    fn build(self, py: Python<'_>) -> Built<'_>;
}

impl<'py, T: Build> IntoPyObject<'py> for AsPython<T> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> Built<'py> {
        self.0.build(py)
    }
}

impl Build for nucleus_core::entry::Head {
    fn build(self, py: Python<'_>) -> Built<'_> {
        HEAD.get(py)?.call1((self.seq, self.hash.to_string()))
    }
}

impl Build for nucleus_engine::Stats {
    fn build(self, py: Python<'_>) -> Built<'_> {
        let streams = PyDict::new(py);
        for (stream, count) in &self.streams {
            streams.set_item(stream, count)?;
        }
        LEDGER_STATS.get(py)?.call1((
            self.entries,
            self.head.map(AsPython),
            streams,
            self.redacted,
            self.first_timestamp,
            self.last_timestamp,
            self.created_at,
            self.database_bytes,
            self.wal_bytes,
            self.scrub_pending,
        ))
    }
}

impl Build for nucleus_engine::store::Restored {
    fn build(self, py: Python<'_>) -> Built<'_> {
        let path = |path: PathBuf| PATH.get(py)?.call1((path,));
        let replaced = self.replaced.map(path).transpose()?;
        RESTORED.get(py)?.call1((self.head.map(AsPython), replaced))
    }
}

impl Build for Grant {
    fn build(self, py: Python<'_>) -> Built<'_> {
        let Self { resource, principal_oid, scope, source, granted_by, exp, created_at, seq } = self;
        ACL_GRANT.get(py)?.call1((
            resource.kind,
            resource.id,
            principal_oid,
            scope.name(),
            granted_by,
            exp,
            source.name(),
            created_at,
            seq,
        ))
    }
}

impl Build for Period {
    fn build(self, py: Python<'_>) -> Built<'_> {
        let (grant, hash) = (AsPython(self.grant), self.hash.to_string());
        let class = ACCESS_PERIOD.get(py)?;
        match self.end {
            None => class.call1((grant, hash)),
            Some(end) => class.call1((grant, hash, end.seq, end.hash.to_string(), end.ended_at, end.ended_by)),
        }
    }
}

impl Build for Explanation {
    fn build(self, py: Python<'_>) -> Built<'_> {
        EXPLANATION.get(py)?.call1((self.allowed, self.reason, self.period.map(AsPython)))
    }
}
