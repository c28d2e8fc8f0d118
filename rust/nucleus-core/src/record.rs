//! A record: what a caller states.

use crate::canonical::CanonicalJson;
use crate::error::InvalidRecord;
use crate::json::{NumberRule, Reader, Token};
use crate::{MAX_SAFE_INTEGER, canonical};

/// Longest record id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1024;
/// Longest stream name, in bytes of UTF-8.
pub const MAX_STREAM_BYTES: usize = 255;

/// `{id, stream, timestamp, payload, meta?}`; its JSON parts are held in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Names the resource; entries that share it are its versions.
    pub id: String,
    /// The kind of record.
    pub stream: String,
    /// The time the record is about, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// JSON object or array; None only in an entry whose payload has been erased.
    pub payload: Option<CanonicalJson>,
    /// JSON object.
    pub meta: Option<CanonicalJson>,
}

impl Record {
    /// Checks every bound of the record itself; its JSON parts are canonical by construction.
    pub fn validate(&self) -> Result<(), InvalidRecord> {
        check_text("id", &self.id, MAX_ID_BYTES)?;
        check_text("stream", &self.stream, MAX_STREAM_BYTES)?;
        check_timestamp(self.timestamp)?;
        match self.payload.as_ref().map(CanonicalJson::as_str) {
            Some(payload) if payload.starts_with(['{', '[']) => {}
            Some(_) => {
                return Err(InvalidRecord::new("must be a JSON object or array").within_key("payload"));
            }
            None => return Err(InvalidRecord::new("is missing").within_key("payload")),
        }
        match self.meta.as_ref().map(CanonicalJson::as_str) {
            Some(meta) if !meta.starts_with('{') => Err(InvalidRecord::new("must be a JSON object").within_key("meta")),
            _ => Ok(()),
        }
    }

    /// Bytes of the canonical payload and meta together: what the limit on a record's size is about.
    pub fn content_bytes(&self) -> usize {
        let length = |part: &Option<CanonicalJson>| part.as_ref().map_or(0, |json| json.as_str().len());
        length(&self.payload) + length(&self.meta)
    }

    /// Reads one JSON object `{id, stream, payload, timestamp?, meta?}`; unknown keys are refused.
    ///
    /// The second value tells whether the text gave a timestamp; without one it is `now`.
    pub fn from_json(text: &str, now: i64) -> Result<(Self, bool), InvalidRecord> {
        let mut reader = Reader::new(text, NumberRule::Strict);
        let parts = RecordParts::read(&mut reader)?;
        reader.finish()?;
        let timestamp_given = parts.timestamp.is_some();
        let record = parts.build(now)?;
        Ok((record, timestamp_given))
    }

    /// Appends the canonical JSON of the record; an erased payload shows as `null`.
    pub fn write_json(&self, out: &mut String) {
        out.push_str("{\"id\":");
        canonical::write_string(out, &self.id);
        if let Some(meta) = &self.meta {
            out.push_str(",\"meta\":");
            out.push_str(meta.as_str());
        }
        out.push_str(",\"payload\":");
        out.push_str(self.payload.as_ref().map_or("null", CanonicalJson::as_str));
        out.push_str(",\"stream\":");
        canonical::write_string(out, &self.stream);
        out.push_str(",\"timestamp\":");
        out.push_str(itoa::Buffer::new().format(self.timestamp));
        out.push('}');
    }
}

/// The members of a record while its JSON text is read.
#[derive(Debug, Default)]
pub(crate) struct RecordParts {
    pub(crate) id: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) payload: Option<CanonicalJson>,
    pub(crate) meta: Option<CanonicalJson>,
}

impl RecordParts {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, InvalidRecord> {
        if reader.token()? != Token::ObjectStart {
            return Err(InvalidRecord::new("a record must be a JSON object"));
        }
        let mut parts = Self::default();
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = reader.next_key(seen.is_empty())? {
            if seen.iter().any(|known| *known == key) {
                return Err(reader.located(canonical::duplicate_key(&key)));
            }
            parts.read_member(reader, &key).map_err(|error| error.within_key(&key))?;
            seen.push(key.into_owned());
        }
        Ok(parts)
    }

    fn read_member(&mut self, reader: &mut Reader<'_>, key: &str) -> Result<(), InvalidRecord> {
        match key {
            "id" => self.id = Some(read_string(reader)?),
            "stream" => self.stream = Some(read_string(reader)?),
            "timestamp" => self.timestamp = Some(read_integer(reader)?),
            "payload" => self.payload = read_json(reader)?,
            "meta" => self.meta = read_json(reader)?,
            _ => {
                return Err(InvalidRecord::new("is not a member of a record (id, stream, payload, timestamp, meta)"));
            }
        }
        Ok(())
    }

    fn build(self, now: i64) -> Result<Record, InvalidRecord> {
        let missing = |key| InvalidRecord::new("is missing").within_key(key);
        let record = Record {
            id: self.id.ok_or_else(|| missing("id"))?,
            stream: self.stream.ok_or_else(|| missing("stream"))?,
            timestamp: self.timestamp.unwrap_or(now),
            payload: self.payload,
            meta: self.meta,
        };
        record.validate()?;
        Ok(record)
    }
}

/// A JSON value in canonical form; None for `null`.
pub(crate) fn read_json(reader: &mut Reader<'_>) -> Result<Option<CanonicalJson>, InvalidRecord> {
    let mut out = String::new();
    canonical::write_value(reader, &mut out)?;
    Ok((out != "null").then(|| CanonicalJson::from_canonical(out)))
}

pub(crate) fn read_string(reader: &mut Reader<'_>) -> Result<String, InvalidRecord> {
    match reader.token()? {
        Token::String(text) => Ok(text.into_owned()),
        _ => Err(InvalidRecord::new("must be a string")),
    }
}

pub(crate) fn read_integer(reader: &mut Reader<'_>) -> Result<i64, InvalidRecord> {
    match reader.token()? {
        Token::Integer(value) => Ok(value),
        _ => Err(InvalidRecord::new("must be an integer")),
    }
}

/// Checks that a name is neither empty nor too long.
pub(crate) fn check_text(key: &str, value: &str, max_bytes: usize) -> Result<(), InvalidRecord> {
    if value.is_empty() {
        return Err(InvalidRecord::new("must not be empty").within_key(key));
    }
    if value.len() > max_bytes {
        let reason = format!("is {} bytes of UTF-8; at most {max_bytes} are allowed", value.len());
        return Err(InvalidRecord::new(reason).within_key(key));
    }
    Ok(())
}

/// Checks that a timestamp lies between 1 and 2^53-1 ms.
pub(crate) fn check_timestamp(timestamp: i64) -> Result<(), InvalidRecord> {
    if (1..=MAX_SAFE_INTEGER).contains(&timestamp) {
        return Ok(());
    }
    let reason = format!("{timestamp} is not in 1 to 2^53-1 milliseconds since the Unix epoch");
    Err(InvalidRecord::new(reason).within_key("timestamp"))
}
