//! Indexes over payload members that a module declares.

use std::fmt;

use super::{Error, Result};

/// Most members in one index.
const MAX_FIELDS: usize = 4;
/// Longest name of a stream or a member that an index can be declared for, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// An index over top-level payload members of the entries of one stream.
///
/// Its names are such that they stand as they are in the words of any storage. It holds the members' canonical texts, in the order of `fields`, and orders equal ones by seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldIndex {
    stream: String,
    fields: Vec<String>,
}

impl FieldIndex {
    /// An index over `fields` in `stream`; all names must be short and of letters, digits, `_` and `-`.
    pub fn new(stream: &str, fields: &[&str]) -> Result<Self> {
        if !is_name(stream, true) {
            return Err(Error::Config(format!(
                "an index can be declared for streams named with 1 to {MAX_NAME_BYTES} letters, digits, `_`, `-` and \
                 `.` only, not `{}`",
                stream.escape_debug()
            )));
        }
        if !(1..=MAX_FIELDS).contains(&fields.len()) {
            return Err(Error::Config(format!("an index has 1 to {MAX_FIELDS} payload members, not {}", fields.len())));
        }
        if let Some(field) = fields.iter().find(|field| !is_name(field, false)) {
            return Err(Error::Config(format!(
                "an index can be declared for payload members named with 1 to {MAX_NAME_BYTES} letters, digits and \
                 `_` only, not `{}`",
                field.escape_debug()
            )));
        }
        Ok(Self { stream: stream.to_owned(), fields: fields.iter().map(ToString::to_string).collect() })
    }

    /// The indexes of a stream over these groups of members.
    pub fn all(stream: &str, groups: &[&[&str]]) -> Result<Vec<Self>> {
        groups.iter().map(|fields| Self::new(stream, fields)).collect()
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The members.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }
}

impl fmt::Display for FieldIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}`", self.fields.join(", "), self.stream)
    }
}

/// Names in which nothing needs an escape, in the words of any storage.
fn is_name(name: &str, stream: bool) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (stream && b"-.".contains(&byte)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use super::FieldIndex;

    #[test]
    fn names_that_would_need_an_escape_are_refused() {
        for (stream, field) in [("it's", "x"), ("", "x"), ("s", "a-b"), ("s", ""), ("s", "\"")] {
            assert!(FieldIndex::new(stream, &[field]).is_err());
        }
        assert!(FieldIndex::new("s", &[]).is_err());
    }
}
