//! Integer arguments: what Python can say and the engine cannot hold is a refusal, not an overflow.

use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::errors::ConfigError;

/// A count or size: not negative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count(pub(crate) u64);

impl<'a, 'py> FromPyObject<'a, 'py> for Count {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let number = value.cast::<PyInt>()?;
        match number.extract::<i64>().map(u64::try_from) {
            Ok(Ok(count)) => Ok(Self(count)),
            _ => Err(ConfigError::new_err("a count must lie between 0 and 2^63-1")),
        }
    }
}

/// A time in milliseconds since the Unix epoch; beyond what a record can hold, the nearest that it can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Milliseconds(pub(crate) i64);

impl<'a, 'py> FromPyObject<'a, 'py> for Milliseconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let number = value.cast::<PyInt>()?;
        match number.extract::<i64>() {
            Ok(time) => Ok(Self(time)),
            Err(_) => Ok(Self(if number.gt(0)? { i64::MAX } else { i64::MIN })),
        }
    }
}
