//! `VerificationReport` and `VerificationError`.

use nucleus_core::entry::Head;
use nucleus_core::{EndCheck, ErrorKind, Hash};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// One fault found by verification.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct VerificationError {
    inner: nucleus_core::VerificationError,
}

#[pymethods]
impl VerificationError {
    #[getter]
    fn kind(&self) -> &'static str {
        self.inner.kind.name()
    }

    #[getter]
    fn seq(&self) -> Option<i64> {
        self.inner.seq
    }

    #[getter]
    fn record_id(&self) -> Option<&str> {
        self.inner.record_id.as_deref()
    }

    #[getter]
    fn expected(&self) -> Option<&str> {
        self.inner.expected.as_deref()
    }

    #[getter]
    fn actual(&self) -> Option<&str> {
        self.inner.actual.as_deref()
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("kind", self.kind())?;
        dict.set_item("seq", self.seq())?;
        dict.set_item("record_id", self.record_id())?;
        dict.set_item("expected", self.expected())?;
        dict.set_item("actual", self.actual())?;
        Ok(dict)
    }

    fn __str__(&self) -> String {
        self.inner.to_string()
    }

    fn __repr__(&self) -> String {
        format!("VerificationError({})", self.inner)
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        other.inner == self.inner
    }
}

/// What a verification found.
#[pyclass(frozen, module = "nucleus._core")]
pub(crate) struct VerificationReport {
    pub(crate) inner: nucleus_core::VerificationReport,
}

#[pymethods]
impl VerificationReport {
    #[getter]
    fn valid(&self) -> bool {
        self.inner.valid()
    }

    #[getter]
    fn entries_checked(&self) -> u64 {
        self.inner.entries_checked
    }

    #[getter]
    fn head_hash(&self) -> Option<String> {
        self.inner.head.map(|head| head.hash.to_string())
    }

    #[getter]
    fn errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for error in &self.inner.errors {
            list.append(Bound::new(py, VerificationError { inner: error.clone() })?)?;
        }
        Ok(list)
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (kind, count) in &self.inner.counts {
            dict.set_item(kind.name(), count)?;
        }
        Ok(dict)
    }

    #[getter]
    fn timestamp_regressions(&self) -> u64 {
        self.inner.timestamp_regressions
    }

    #[getter]
    fn end_checked_by(&self) -> Option<&'static str> {
        self.inner.end_checked_by.map(EndCheck::name)
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let errors = PyList::empty(py);
        for error in &self.inner.errors {
            errors.append(VerificationError { inner: error.clone() }.to_dict(py)?)?;
        }
        let dict = PyDict::new(py);
        dict.set_item("valid", self.valid())?;
        dict.set_item("entries_checked", self.entries_checked())?;
        dict.set_item("head_hash", self.head_hash())?;
        dict.set_item("errors", errors)?;
        dict.set_item("counts", self.counts(py)?)?;
        dict.set_item("timestamp_regressions", self.timestamp_regressions())?;
        dict.set_item("end_checked_by", self.end_checked_by())?;
        Ok(dict)
    }

    #[allow(clippy::unused_self)]
    fn __bool__(&self) -> PyResult<bool> {
        Err(pyo3::exceptions::PyTypeError::new_err("a report is neither true nor false; ask for its `valid`"))
    }

    fn __repr__(&self) -> String {
        let verdict = if self.valid() { "valid" } else { "NOT VALID" };
        format!("VerificationReport({verdict}: {})", self.inner.summary())
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        other.inner == self.inner
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let restore = py.get_type::<Self>().getattr("_restore")?;
        let head_seq = self.inner.head.map(|head| head.seq);
        Ok((restore, (self.to_dict(py)?, head_seq).into_pyobject(py)?))
    }

    /// Rebuilds a pickled report.
    #[staticmethod]
    fn _restore(state: &Bound<'_, PyDict>, head_seq: Option<u64>) -> PyResult<Self> {
        let malformed = || PyValueError::new_err("not the state of a VerificationReport");
        let item = |key: &str| state.get_item(key)?.ok_or_else(malformed);
        let kind = |name: &str| ErrorKind::from_name(name).ok_or_else(malformed);
        let head_hash: Option<String> = item("head_hash")?.extract()?;
        let mut inner = nucleus_core::VerificationReport {
            entries_checked: item("entries_checked")?.extract()?,
            head: head_hash
                .and_then(|hash| Hash::from_hex(&hash))
                .and_then(|hash| head_seq.map(|seq| Head { seq, hash })),
            timestamp_regressions: item("timestamp_regressions")?.extract()?,
            end_checked_by: item("end_checked_by")?
                .extract::<Option<String>>()?
                .map(|name| EndCheck::from_name(&name).ok_or_else(malformed))
                .transpose()?,
            ..nucleus_core::VerificationReport::default()
        };
        for (name, count) in item("counts")?.cast::<PyDict>()?.iter() {
            inner.counts.insert(kind(&name.extract::<String>()?)?, count.extract()?);
        }
        for error in item("errors")?.cast::<PyList>()?.iter() {
            let part = |key: &str| error.get_item(key);
            inner.errors.push(nucleus_core::VerificationError {
                kind: kind(&part("kind")?.extract::<String>()?)?,
                seq: part("seq")?.extract()?,
                record_id: part("record_id")?.extract()?,
                expected: part("expected")?.extract()?,
                actual: part("actual")?.extract()?,
            });
        }
        Ok(Self { inner })
    }
}
