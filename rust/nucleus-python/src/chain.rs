//! `ChainEntry` and `verify_chain`.

use std::hash::{DefaultHasher, Hash as _, Hasher};

use nucleus_core::Hash;
use nucleus_engine::Error;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::errors::{detached, to_python};
use crate::json;
use crate::numbers::Count;
use crate::records::Record;
use crate::report::VerificationReport;

/// One entry of the chain.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct ChainEntry {
    pub(crate) inner: nucleus_core::ChainEntry,
}

#[pymethods]
impl ChainEntry {
    #[getter]
    fn seq(&self) -> u64 {
        self.inner.seq
    }

    #[getter]
    fn format(&self) -> u32 {
        self.inner.format
    }

    #[getter]
    fn hash(&self) -> String {
        self.inner.hash.to_string()
    }

    #[getter]
    fn prev_hash(&self) -> Option<String> {
        self.inner.prev_hash.map(|hash| hash.to_string())
    }

    #[getter]
    fn salt<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.inner.salt.as_ref().map(|salt| PyBytes::new(py, salt))
    }

    #[getter]
    fn payload_hash(&self) -> String {
        self.inner.payload_hash.to_string()
    }

    #[getter]
    fn redacted(&self) -> bool {
        self.inner.redacted()
    }

    #[getter]
    fn record(&self) -> Record {
        Record::of(&self.inner.record)
    }

    fn to_json(&self) -> String {
        self.inner.to_json()
    }

    #[staticmethod]
    fn from_json(py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = json::text_argument(text)?;
        let inner = nucleus_core::ChainEntry::from_json(&text).map_err(|error| to_python(py, error.into()))?;
        Ok(Self { inner })
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        other.inner == self.inner
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.hash.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let id = PyString::new(py, &nucleus_core::error::shortened(&self.inner.record.id)).repr()?.to_string();
        Ok(format!("ChainEntry(seq={}, hash='{}', record_id={id})", self.inner.seq, self.inner.hash))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let from_json = py.get_type::<Self>().getattr("from_json")?;
        Ok((from_json, (self.to_json(),).into_pyobject(py)?))
    }
}

pub(crate) fn wrap(py: Python<'_>, entry: nucleus_core::ChainEntry) -> PyResult<Py<ChainEntry>> {
    Py::new(py, ChainEntry { inner: entry })
}

pub(crate) fn wrap_all(py: Python<'_>, entries: Vec<nucleus_core::ChainEntry>) -> PyResult<Vec<Py<ChainEntry>>> {
    entries.into_iter().map(|entry| wrap(py, entry)).collect()
}

/// Owned copies of the entries in a Python sequence.
pub(crate) fn entries_argument(entries: &Bound<'_, PyAny>) -> PyResult<Vec<nucleus_core::ChainEntry>> {
    let mut owned = Vec::new();
    for entry in entries.try_iter()? {
        owned.push(entry?.cast::<ChainEntry>()?.get().inner.clone());
    }
    Ok(owned)
}

/// A hash argument of 64 hex digits.
pub(crate) fn hash_argument(name: &str, text: &str) -> nucleus_engine::Result<Hash> {
    Hash::from_hex(text)
        .ok_or_else(|| Error::Config(format!("{name} must be 64 lower-case hexadecimal digits, as entries show them")))
}

/// Recomputes every hash and link of a whole chain held in memory.
#[pyfunction]
#[pyo3(signature = (entries, ledger_id, *, expected_head=None, expected_length=None))]
pub(crate) fn verify_chain(
    py: Python<'_>,
    entries: &Bound<'_, PyAny>,
    ledger_id: &str,
    expected_head: Option<&str>,
    expected_length: Option<Count>,
) -> PyResult<VerificationReport> {
    let entries = entries_argument(entries)?;
    let inner = detached(py, || {
        let expected_head = expected_head.map(|text| hash_argument("expected_head", text)).transpose()?;
        let mut report = nucleus_engine::verify_chain(&entries, ledger_id)?;
        report.expect_end(expected_head.as_ref(), expected_length.map(|count| count.0));
        Ok(report)
    })?;
    Ok(VerificationReport { inner })
}
