//! Indexes over payload members that a module declares.

use std::fmt;

use crate::error::{Error, Result};

/// Most members in one index.
const MAX_FIELDS: usize = 4;
/// Longest name of a stream or a member that an index can be declared for, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// An index over top-level payload members of the entries of one stream.
///
/// Its definition follows from its name alone, so that opening a file can tell an index that this library made from
/// any other. It holds the members' canonical texts, in the order of `fields`, and orders equal ones by seq.
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
    pub(crate) fn all(stream: &str, groups: &[&[&str]]) -> Result<Vec<Self>> {
        groups.iter().map(|fields| Self::new(stream, fields)).collect()
    }

    /// The index that has this name in the database; None for names that no index of this kind has.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (stream, fields) = name.strip_prefix("field:")?.split_once(':')?;
        let fields: Vec<&str> = fields.split('+').collect();
        Self::new(stream, &fields).ok()
    }

    /// The stream.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The members.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Its name in the database.
    pub(crate) fn name(&self) -> String {
        format!("field:{}:{}", self.stream, self.fields.join("+"))
    }

    /// The SQL expression of one member's canonical text, as the index holds it.
    pub(crate) fn expression(field: &str) -> String {
        format!("payload -> '$.{field}'")
    }

    /// The statement that makes it.
    pub(crate) fn sql(&self) -> String {
        let expressions: Vec<String> = self.fields.iter().map(|field| Self::expression(field)).collect();
        format!(
            "CREATE INDEX \"{}\" ON entries({}) WHERE stream = '{}'",
            self.name(),
            expressions.join(", "),
            self.stream
        )
    }
}

impl fmt::Display for FieldIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}`", self.fields.join(", "), self.stream)
    }
}

/// Names that stand in SQL as they are: nothing in them needs an escape.
fn is_name(name: &str, stream: bool) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (stream && b"-.".contains(&byte)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use super::FieldIndex;

    #[test]
    fn the_name_alone_says_what_an_index_is() {
        let index = FieldIndex::new("tokens", &["symbol", "from_oid"]).unwrap();
        assert_eq!(FieldIndex::from_name(&index.name()), Some(index));
        for name in ["entries_stream", "field:a", "field:a:", "field:a'b:c", "field:a:b c", "field:a:b+"] {
            assert_eq!(FieldIndex::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_would_need_an_escape_are_refused() {
        for (stream, field) in [("it's", "x"), ("", "x"), ("s", "a-b"), ("s", ""), ("s", "\"")] {
            assert!(FieldIndex::new(stream, &[field]).is_err());
        }
        assert!(FieldIndex::new("s", &[]).is_err());
    }
}
