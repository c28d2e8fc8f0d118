//! `Record`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use nucleus_core::{CanonicalJson, InvalidRecord};
use nucleus_engine::NewRecord;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use crate::errors::{Failure, to_python};
use crate::json;

/// One record: what a caller states.
#[pyclass(frozen, module = "nucleus._core")]
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) inner: NewRecord,
}

pub(crate) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// A string argument, or the refusal that names it.
fn text_of(value: &Bound<'_, PyAny>, key: &str) -> Result<String, InvalidRecord> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(InvalidRecord::new("must be a string").within_key(key));
    };
    json::utf8(text).map(str::to_owned).map_err(|error| error.within_key(key))
}

fn timestamp_of(value: &Bound<'_, PyAny>) -> Result<i64, InvalidRecord> {
    let refuse = |why: &str| Err(InvalidRecord::new(why).within_key("timestamp"));
    if value.is_instance_of::<pyo3::types::PyBool>() || !value.is_instance_of::<PyInt>() {
        return refuse("must be an integer: milliseconds since the Unix epoch");
    }
    match value.extract::<i64>() {
        Ok(timestamp) => Ok(timestamp),
        Err(_) => refuse("is not in 1 to 2^53-1 milliseconds since the Unix epoch"),
    }
}

/// A JSON value in canonical form; None for Python's None.
fn json_of(value: &Bound<'_, PyAny>, key: &str) -> Result<Option<CanonicalJson>, InvalidRecord> {
    if value.is_none() {
        return Ok(None);
    }
    let mut out = String::with_capacity(256);
    json::write(value, &mut out).map_err(|error| error.within_key(key))?;
    Ok(Some(CanonicalJson::from_canonical(out)))
}

impl Record {
    fn build(
        id: &Bound<'_, PyAny>,
        stream: &Bound<'_, PyAny>,
        payload: &Bound<'_, PyAny>,
        timestamp: Option<&Bound<'_, PyAny>>,
        meta: Option<&Bound<'_, PyAny>>,
    ) -> Result<NewRecord, InvalidRecord> {
        let timestamp = timestamp.filter(|value| !value.is_none());
        let record = nucleus_core::Record {
            id: text_of(id, "id")?,
            stream: text_of(stream, "stream")?,
            timestamp: timestamp.map_or_else(|| Ok(now_ms()), timestamp_of)?,
            payload: json_of(payload, "payload")?,
            meta: meta.map_or(Ok(None), |meta| json_of(meta, "meta"))?,
        };
        record.validate()?;
        Ok(NewRecord { record, timestamp_given: timestamp.is_some() })
    }

    fn from_mapping(value: &Bound<'_, PyDict>) -> Result<NewRecord, InvalidRecord> {
        const KEYS: [&str; 5] = ["id", "stream", "payload", "timestamp", "meta"];
        let get = |key: &str| value.get_item(key).ok().flatten();
        let required = |key: &str| get(key).ok_or_else(|| InvalidRecord::new("is missing").within_key(key));
        let (id, stream, payload) = (required("id")?, required("stream")?, required("payload")?);
        let (timestamp, meta) = (get("timestamp"), get("meta"));
        let known = 3 + usize::from(timestamp.is_some()) + usize::from(meta.is_some());
        if value.len() != known {
            let unknown = value.keys().iter().map(|key| key.to_string()).find(|key| !KEYS.contains(&key.as_str()));
            let key = unknown.unwrap_or_default();
            let reason = "is not a member of a record (id, stream, payload, timestamp, meta)";
            return Err(InvalidRecord::new(reason).within_key(&key));
        }
        Self::build(&id, &stream, &payload, timestamp.as_ref(), meta.as_ref())
    }

    /// A record argument: a `Record`, or a mapping with its members.
    pub(crate) fn argument(value: &Bound<'_, PyAny>) -> Result<NewRecord, Failure> {
        if let Ok(record) = value.cast::<Self>() {
            return Ok(record.get().inner.clone());
        }
        if let Ok(mapping) = value.cast::<PyDict>() {
            return Ok(Self::from_mapping(mapping)?);
        }
        if !value.hasattr("keys").map_err(Failure::Python)? {
            let reason = "must be a Record, or a mapping with id, stream, payload, and optionally timestamp, meta";
            return Err(InvalidRecord::new(reason).into());
        }
        Ok(Self::from_mapping(&json::plain_dict(value).map_err(Failure::Python)?)?)
    }

    pub(crate) fn of(record: &nucleus_core::Record) -> Self {
        Self { inner: NewRecord { record: record.clone(), timestamp_given: true } }
    }
}

#[pymethods]
impl Record {
    #[new]
    #[pyo3(signature = (id, stream, payload, timestamp=None, meta=None))]
    fn new(
        py: Python<'_>,
        id: &Bound<'_, PyAny>,
        stream: &Bound<'_, PyAny>,
        payload: &Bound<'_, PyAny>,
        timestamp: Option<&Bound<'_, PyAny>>,
        meta: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let inner = Self::build(id, stream, payload, timestamp, meta).map_err(|error| to_python(py, error.into()))?;
        Ok(Self { inner })
    }

    #[getter]
    fn id(&self) -> &str {
        &self.inner.record.id
    }

    #[getter]
    fn stream(&self) -> &str {
        &self.inner.record.stream
    }

    #[getter]
    fn timestamp(&self) -> i64 {
        self.inner.record.timestamp
    }

    #[getter]
    fn payload(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.inner.record.payload.as_ref().map(|json| json::read(py, json.as_str())).transpose()
    }

    #[getter]
    fn meta(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.inner.record.meta.as_ref().map(|json| json::read(py, json.as_str())).transpose()
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("id", self.id())?;
        dict.set_item("stream", self.stream())?;
        dict.set_item("timestamp", self.timestamp())?;
        dict.set_item("payload", self.payload(py)?)?;
        if let Some(meta) = self.meta(py)? {
            dict.set_item("meta", meta)?;
        }
        Ok(dict)
    }

    #[staticmethod]
    fn from_dict(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let inner = Self::argument(value).map_err(|failure| to_python(value.py(), failure))?;
        Ok(Self { inner })
    }

    #[staticmethod]
    fn from_json(py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<Self> {
        let text = json::text_argument(text)?;
        let (record, timestamp_given) =
            nucleus_core::Record::from_json(&text, now_ms()).map_err(|error| to_python(py, error.into()))?;
        Ok(Self { inner: NewRecord { record, timestamp_given } })
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        other.inner.record == self.inner.record
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.inner.record.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let repr = |text: &str| PyString::new(py, text).repr().map(|repr| repr.to_string());
        Ok(format!(
            "Record(id={}, stream={}, timestamp={})",
            repr(&nucleus_core::error::shortened(self.id()))?,
            repr(self.stream())?,
            self.timestamp()
        ))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let restore = py.get_type::<Self>().getattr("_restore")?;
        let record = &self.inner.record;
        let arguments = (
            &record.id,
            &record.stream,
            record.timestamp,
            record.payload.as_ref().map(CanonicalJson::as_str),
            record.meta.as_ref().map(CanonicalJson::as_str),
            self.inner.timestamp_given,
        );
        Ok((restore, arguments.into_pyobject(py)?))
    }

    /// Rebuilds a pickled record, also one whose payload was erased.
    #[staticmethod]
    fn _restore(
        py: Python<'_>,
        id: String,
        stream: String,
        timestamp: i64,
        payload: Option<&str>,
        meta: Option<&str>,
        timestamp_given: bool,
    ) -> PyResult<Self> {
        let canonical = |text: Option<&str>| match text {
            Some(text) if !nucleus_core::canonical::is_canonical(text) => {
                Err(to_python(py, InvalidRecord::new("a pickled record is not in canonical form").into()))
            }
            text => Ok(text.map(CanonicalJson::from_canonical)),
        };
        let record =
            nucleus_core::Record { id, stream, timestamp, payload: canonical(payload)?, meta: canonical(meta)? };
        Ok(Self { inner: NewRecord { record, timestamp_given } })
    }
}
