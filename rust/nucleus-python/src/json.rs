//! JSON values between Python objects and canonical text, without any tree in between.

use nucleus_core::canonical::{
    compare_keys, duplicate_key, too_deep, unsafe_integer, write_float, write_integer, write_string,
};
use nucleus_core::json::{NumberRule, Reader, Token};
use nucleus_core::{InvalidRecord, MAX_DEPTH};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple};

/// What one conversion may produce; beyond it, no record is accepted anyway. It bounds the expansion of objects that
/// contain the same list many times over.
const MAX_TEXT_BYTES: usize = 1 << 30;

/// Appends the canonical JSON of a Python value.
///
/// Values are read through the concrete type's own C API: no Python code runs while containers are walked.
pub(crate) fn write(value: &Bound<'_, PyAny>, out: &mut String) -> Result<(), InvalidRecord> {
    write_nested(value, out, 1)
}

fn write_nested(value: &Bound<'_, PyAny>, out: &mut String, depth: usize) -> Result<(), InvalidRecord> {
    if let Ok(text) = value.cast::<PyString>() {
        write_string(out, utf8(text)?);
        Ok(())
    } else if let Ok(object) = value.cast::<PyDict>() {
        write_object(object, out, depth)
    } else if let Ok(truth) = value.cast::<PyBool>() {
        out.push_str(if truth.is_true() { "true" } else { "false" });
        Ok(())
    } else if let Ok(number) = value.cast::<PyInt>() {
        write_integer(out, number.extract::<i64>().map_err(|_| unsafe_integer())?)
    } else if let Ok(number) = value.cast::<PyFloat>() {
        write_float(out, number.value())
    } else if value.is_none() {
        out.push_str("null");
        Ok(())
    } else if let Ok(list) = value.cast::<PyList>() {
        write_array(list.len(), |index| list.get_item(index).ok(), out, depth)
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        write_array(tuple.len(), |index| tuple.get_item(index).ok(), out, depth)
    } else {
        Err(unsupported(value))
    }
}

fn write_array<'py>(
    length: usize,
    item: impl Fn(usize) -> Option<Bound<'py, PyAny>>,
    out: &mut String,
    depth: usize,
) -> Result<(), InvalidRecord> {
    check_room(out, depth)?;
    out.push('[');
    for index in 0..length {
        if index > 0 {
            out.push(',');
        }
        let Some(item) = item(index) else {
            return Err(InvalidRecord::new("the list was changed by another thread while it was read"));
        };
        write_nested(&item, out, depth + 1).map_err(|error| error.within_index(index))?;
    }
    out.push(']');
    Ok(())
}

fn write_object(object: &Bound<'_, PyDict>, out: &mut String, depth: usize) -> Result<(), InvalidRecord> {
    check_room(out, depth)?;
    let mut members = Vec::with_capacity(object.len());
    for (key, value) in object.iter() {
        let Ok(key) = key.cast_into::<PyString>() else {
            return Err(InvalidRecord::new("an object's keys must be strings; this one has a key of another type"));
        };
        members.push((key, value));
    }
    let mut sorted: Vec<(&str, &Bound<'_, PyAny>)> = Vec::with_capacity(members.len());
    for (key, value) in &members {
        sorted.push((utf8(key)?, value));
    }
    sorted.sort_unstable_by(|(a, _), (b, _)| compare_keys(a, b));
    out.push('{');
    for (position, (key, value)) in sorted.iter().enumerate() {
        if position > 0 {
            // Two different `str` subclass instances may hold the same text.
            if sorted[position - 1].0 == *key {
                return Err(duplicate_key(key));
            }
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_nested(value, out, depth + 1).map_err(|error| error.within_key(key))?;
    }
    out.push('}');
    Ok(())
}

fn check_room(out: &str, depth: usize) -> Result<(), InvalidRecord> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    if out.len() > MAX_TEXT_BYTES {
        return Err(InvalidRecord::new("the value has more than 1 GiB in canonical form"));
    }
    Ok(())
}

/// The UTF-8 of a Python string; Python strings may hold lone surrogates, which have none.
pub(crate) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, InvalidRecord> {
    text.to_str().map_err(|_| {
        InvalidRecord::new("a string with a lone surrogate has no UTF-8 form; remove it or encode the bytes as text")
    })
}

fn unsupported(value: &Bound<'_, PyAny>) -> InvalidRecord {
    let name = value.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let hint = match name.as_str() {
        "bytes" | "bytearray" | "memoryview" => "encode it as text, e.g. base64 or hex",
        "datetime" | "date" | "time" => "write it as an ISO 8601 string or as integer milliseconds",
        "Decimal" | "Fraction" => "write it as a string",
        "set" | "frozenset" => "write it as a sorted list",
        "UUID" => "write it as str(value)",
        _ => "convert it to str, int, float, bool, None, dict or list",
    };
    InvalidRecord::new(format!("{name} is not a JSON value; {hint}"))
}

/// A mapping as the plain `dict` that the concrete type's own C API walks.
pub(crate) fn plain_dict<'py>(mapping: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    match mapping.cast::<PyDict>() {
        Ok(dict) => Ok(dict.clone()),
        Err(_) => Ok(mapping.py().get_type::<PyDict>().call1((mapping,))?.cast_into::<PyDict>()?),
    }
}

/// The text of a `str` or UTF-8 `bytes` argument.
pub(crate) fn text_argument(text: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = text.py();
    let invalid = |error: InvalidRecord| crate::errors::to_python(py, error.into());
    if let Ok(text) = text.cast::<PyString>() {
        return utf8(text).map(str::to_owned).map_err(invalid);
    }
    let Ok(bytes) = text.cast::<PyBytes>() else {
        return Err(PyTypeError::new_err("a JSON text must be str or bytes"));
    };
    std::str::from_utf8(bytes.as_bytes()).map(str::to_owned).map_err(|error| {
        invalid(InvalidRecord::new(format!("the JSON text is not UTF-8 (at byte {})", error.valid_up_to())))
    })
}

/// The Python value of a canonical text.
pub(crate) fn read(py: Python<'_>, text: &str) -> PyResult<Py<PyAny>> {
    let mut reader = Reader::new(text, NumberRule::Stored);
    let value = read_value(py, &mut reader, 1)?;
    reader.finish().map_err(|error| crate::errors::to_python(py, error.into()))?;
    Ok(value.unbind())
}

fn read_value<'py>(py: Python<'py>, reader: &mut Reader<'_>, depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let invalid = |error: InvalidRecord| crate::errors::to_python(py, error.into());
    Ok(match reader.token().map_err(invalid)? {
        Token::Null => PyNone::get(py).to_owned().into_any(),
        Token::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Token::Integer(value) => value.into_pyobject(py)?.into_any(),
        Token::Float(value) => PyFloat::new(py, value).into_any(),
        Token::String(value) => PyString::new(py, &value).into_any(),
        Token::ArrayStart | Token::ObjectStart if depth > MAX_DEPTH => return Err(invalid(too_deep())),
        Token::ArrayStart => {
            let list = PyList::empty(py);
            while reader.next_element(list.is_empty()).map_err(invalid)? {
                list.append(read_value(py, reader, depth + 1)?)?;
            }
            list.into_any()
        }
        Token::ObjectStart => {
            let object = PyDict::new(py);
            while let Some(key) = reader.next_key(object.is_empty()).map_err(invalid)? {
                object.set_item(&*key, read_value(py, reader, depth + 1)?)?;
            }
            object.into_any()
        }
    })
}
