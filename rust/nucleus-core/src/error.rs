//! The one error of this crate: a value that cannot become part of a ledger, and where in it.

use std::fmt;

use crate::MAX_DEPTH;

/// One step from a JSON value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathSegment {
    /// A member of an object.
    Key(String),
    /// An element of an array, from 0.
    Index(usize),
}

/// A record, or a part of one, that is refused.
///
/// The path is collected while the error travels outwards, so that valid input pays nothing for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRecord {
    /// From the innermost segment to the outermost.
    segments: Vec<PathSegment>,
    reason: String,
}

impl InvalidRecord {
    /// An error about the value itself; callers add where it stands with [`Self::within`].
    pub fn new(reason: impl Into<String>) -> Self {
        Self { segments: Vec::new(), reason: reason.into() }
    }

    /// The same error, one level further out.
    #[must_use]
    pub fn within(mut self, segment: PathSegment) -> Self {
        self.segments.push(segment);
        self
    }

    /// The same error, inside the member `key`.
    #[must_use]
    pub fn within_key(self, key: &str) -> Self {
        self.within(PathSegment::Key(key.to_owned()))
    }

    /// The same error, inside element `index`.
    #[must_use]
    pub fn within_index(self, index: usize) -> Self {
        self.within(PathSegment::Index(index))
    }

    /// The same error, with a note behind the reason.
    #[must_use]
    pub fn noting(mut self, note: &str) -> Self {
        self.reason.push_str(note);
        self
    }

    /// Where: `$`, `$.payload.a[3]`, `$["weird key"]`.
    pub fn path(&self) -> String {
        let mut path = String::from("$");
        for segment in self.segments.iter().rev() {
            match segment {
                PathSegment::Index(index) => path.push_str(&format!("[{index}]")),
                PathSegment::Key(key) if is_identifier(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                PathSegment::Key(key) => {
                    path.push('[');
                    crate::escape::write_string(&mut path, &shortened(key));
                    path.push(']');
                }
            }
        }
        path
    }

    /// What is wrong there and what to do.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path(), self.reason)
    }
}

impl std::error::Error for InvalidRecord {}

fn is_identifier(key: &str) -> bool {
    let mut bytes = key.bytes();
    key.len() <= 64
        && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// At most 64 characters of `text`, so that hostile input cannot fill a log through an error message.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(64) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The refusal of an integer beyond ±(2^53-1).
pub fn unsafe_integer() -> InvalidRecord {
    InvalidRecord::new("an integer beyond ±(2^53-1) has no exact JSON number; write it as a string")
}

/// The refusal of a container at a depth beyond [`MAX_DEPTH`].
pub fn too_deep() -> InvalidRecord {
    InvalidRecord::new(format!("nested deeper than {MAX_DEPTH} arrays and objects"))
}
