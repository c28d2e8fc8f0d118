//! RFC 8785 (JSON Canonicalization Scheme): the one byte sequence that a JSON value is hashed as.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::error::InvalidRecord;
use crate::json::{NumberRule, Reader, Token};
use crate::{MAX_DEPTH, MAX_SAFE_INTEGER};

pub use crate::error::{too_deep, unsafe_integer};
pub use crate::escape::write_string;

/// A JSON text that is known to be in canonical form. Cheap to clone: entries and hooks share one text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CanonicalJson(Arc<str>);

impl CanonicalJson {
    /// The canonical form of a JSON text (RFC 8259), read strictly.
    pub fn from_text(text: &str) -> Result<Self, InvalidRecord> {
        let mut reader = Reader::new(text, NumberRule::Strict);
        let mut out = String::with_capacity(text.len());
        write_value(&mut reader, &mut out)?;
        reader.finish()?;
        Ok(Self::from_canonical(out))
    }

    /// Takes a text that the caller knows to be canonical: written by this module, or read back from where that was
    /// stored.
    pub fn from_canonical(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CanonicalJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a stored text is JSON in canonical form; numbers beyond the safe integers count where they are the
/// canonical form of a double.
pub fn is_canonical(text: &str) -> bool {
    let mut reader = Reader::new(text, NumberRule::Stored);
    let mut out = String::with_capacity(text.len());
    write_value(&mut reader, &mut out).and_then(|()| reader.finish()).is_ok() && out == text
}

/// Whether a stored text opens more arrays and objects within each other than [`MAX_DEPTH`]. Readers recurse into them, so
/// this is asked of a text that somebody else may have stored, before anything else is; it need not be JSON.
pub fn is_nested_too_deep(text: &str) -> bool {
    // Each level takes an opening and a closing.
    if text.len() <= 2 * MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Orders object keys by UTF-16 code units (RFC 8785, section 3.2.3).
pub fn compare_keys(a: &str, b: &str) -> Ordering {
    // UTF-8 and UTF-16 order differ only between surrogate pairs (a lead byte of 0xF0 and up) and the characters from
    // U+E000 to U+FFFF (lead bytes 0xEE and 0xEF).
    if a.bytes().chain(b.bytes()).any(|byte| byte >= 0xF0) {
        a.encode_utf16().cmp(b.encode_utf16())
    } else {
        a.as_bytes().cmp(b.as_bytes())
    }
}

/// Writes an integer; refuses what a double cannot hold exactly.
pub fn write_integer(out: &mut String, value: i64) -> Result<(), InvalidRecord> {
    if value.unsigned_abs() > MAX_SAFE_INTEGER as u64 {
        return Err(unsafe_integer());
    }
    out.push_str(itoa::Buffer::new().format(value));
    Ok(())
}

/// Writes a double as ECMAScript's `Number::toString` does (RFC 8785, section 3.2.2.3).
pub fn write_float(out: &mut String, value: f64) -> Result<(), InvalidRecord> {
    if !value.is_finite() {
        return Err(InvalidRecord::new(format!("{value} is not a JSON number; leave it out or write null")));
    }
    out.push_str(ryu_js::Buffer::new().format_finite(value));
    Ok(())
}

/// Reads one JSON value and appends its canonical form; the value's own outermost container has depth 1.
pub fn write_value(reader: &mut Reader<'_>, out: &mut String) -> Result<(), InvalidRecord> {
    write_nested(reader, out, 1)
}

fn write_nested(reader: &mut Reader<'_>, out: &mut String, depth: usize) -> Result<(), InvalidRecord> {
    match reader.token()? {
        Token::Null => out.push_str("null"),
        Token::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Token::Integer(value) => write_integer(out, value)?,
        Token::Float(value) => write_float(out, value)?,
        Token::String(value) => write_string(out, &value),
        Token::ArrayStart | Token::ObjectStart if depth > MAX_DEPTH => {
            return Err(reader.located(too_deep()));
        }
        Token::ArrayStart => write_array(reader, out, depth)?,
        Token::ObjectStart => write_object(reader, out, depth)?,
    }
    Ok(())
}

fn write_array(reader: &mut Reader<'_>, out: &mut String, depth: usize) -> Result<(), InvalidRecord> {
    out.push('[');
    let mut index = 0;
    while reader.next_element(index == 0)? {
        if index > 0 {
            out.push(',');
        }
        write_nested(reader, out, depth + 1).map_err(|error| error.within_index(index))?;
        index += 1;
    }
    out.push(']');
    Ok(())
}

fn write_object(reader: &mut Reader<'_>, out: &mut String, depth: usize) -> Result<(), InvalidRecord> {
    // Members are written as they come and put in order afterwards: no tree is ever built.
    let mut members: Vec<(String, Range<usize>)> = Vec::new();
    let mut sorted = true;
    let start = out.len();
    while let Some(key) = reader.next_key(members.is_empty())? {
        let member_start = out.len();
        write_string(out, &key);
        out.push(':');
        if let Err(error) = write_nested(reader, out, depth + 1) {
            return Err(error.within_key(&key));
        }
        if let Some((last, _)) = members.last() {
            sorted &= compare_keys(last, &key) == Ordering::Less;
        }
        members.push((key.into_owned(), member_start..out.len()));
    }
    if !sorted {
        members.sort_by(|(a, _), (b, _)| compare_keys(a, b));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(reader.located(duplicate_key(&pair[0].0)));
        }
    }
    let written = out.split_off(start);
    out.push('{');
    for (position, (_, range)) in members.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(&written[range.start - start..range.end - start]);
    }
    out.push('}');
    Ok(())
}

/// The refusal of an object that has the same key twice.
pub fn duplicate_key(key: &str) -> InvalidRecord {
    InvalidRecord::new("this key stands twice in one object").within_key(key)
}

/// The members of a canonical object: each decoded key with the canonical text of its value; None where `text` is
/// not an object.
pub fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let mut reader = Reader::new(text, NumberRule::Stored);
    if !matches!(reader.token(), Ok(Token::ObjectStart)) {
        return None;
    }
    let mut members = Vec::new();
    while let Some(key) = reader.next_key(members.is_empty()).ok()? {
        let start = reader.position();
        reader.skip_value().ok()?;
        members.push((key.into_owned(), &text[start..reader.position()]));
    }
    Some(members)
}

/// The string that a canonical text stands for; None for any other value.
pub fn string_value(text: &str) -> Option<String> {
    let mut reader = Reader::new(text, NumberRule::Stored);
    match reader.token() {
        Ok(Token::String(value)) => Some(value.into_owned()),
        _ => None,
    }
}

/// Writes an object from members whose values are canonical already; sorts them.
pub fn write_members(out: &mut String, members: &mut [(String, &str)]) {
    members.sort_by(|(a, _), (b, _)| compare_keys(a, b));
    out.push('{');
    for (position, (key, value)) in members.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_nested_too_deep(&nested(MAX_DEPTH)));
        assert!(is_nested_too_deep(&nested(MAX_DEPTH + 1)));
        assert!(is_nested_too_deep(&"[{".repeat(MAX_DEPTH + 1)));
        let brackets = "[".repeat(1000);
        let quoted = [format!(r#"["{brackets}"]"#), format!(r#"["\"{brackets}\\"]"#), "[],".repeat(1000)];
        for text in quoted {
            assert!(!is_nested_too_deep(&text), "{text}");
        }
    }
}
