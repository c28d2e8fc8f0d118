//! An entry as one line of canonical JSON: what leaves a ledger by export and enters one by import.

use crate::entry::{ChainEntry, Salt};
use crate::error::InvalidRecord;
use crate::hash::Hash;
use crate::json::{NumberRule, Reader, Token};
use crate::record::{Record, RecordParts, read_integer};
use crate::{canonical, record};

impl ChainEntry {
    /// `{format, hash, payload_hash, prev_hash, record, redacted, salt, seq}` as canonical JSON.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(512 + self.record.content_bytes());
        out.push_str(&format!("{{\"format\":{},\"hash\":\"{}\"", self.format, self.hash));
        out.push_str(&format!(",\"payload_hash\":\"{}\",\"prev_hash\":", self.payload_hash));
        match &self.prev_hash {
            Some(hash) => out.push_str(&format!("\"{hash}\"")),
            None => out.push_str("null"),
        }
        out.push_str(",\"record\":");
        self.record.write_json(&mut out);
        out.push_str(&format!(",\"redacted\":{},\"salt\":", self.redacted()));
        match &self.salt {
            Some(salt) => {
                out.push('"');
                for byte in salt {
                    out.push_str(&format!("{byte:02x}"));
                }
                out.push('"');
            }
            None => out.push_str("null"),
        }
        out.push_str(&format!(",\"seq\":{}}}", self.seq));
        out
    }

    /// Reads what [`Self::to_json`] writes. Only the form is checked; verification decides whether it adds up.
    pub fn from_json(text: &str) -> Result<Self, InvalidRecord> {
        let mut reader = Reader::new(text, NumberRule::Stored);
        if reader.token()? != Token::ObjectStart {
            return Err(InvalidRecord::new("an entry must be a JSON object"));
        }
        let mut parts = EntryParts::default();
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = reader.next_key(seen.is_empty())? {
            if seen.iter().any(|known| *known == key) {
                return Err(reader.located(canonical::duplicate_key(&key)));
            }
            parts.read_member(&mut reader, &key).map_err(|error| error.within_key(&key))?;
            seen.push(key.into_owned());
        }
        reader.finish()?;
        parts.build()
    }
}

#[derive(Default)]
struct EntryParts {
    format: Option<i64>,
    hash: Option<Hash>,
    payload_hash: Option<Hash>,
    /// The outer None: not read yet; the inner: `null`.
    prev_hash: Option<Option<Hash>>,
    salt: Option<Option<Salt>>,
    record: Option<RecordParts>,
    redacted: Option<bool>,
    seq: Option<i64>,
}

impl EntryParts {
    fn read_member(&mut self, reader: &mut Reader<'_>, key: &str) -> Result<(), InvalidRecord> {
        match key {
            "format" => self.format = Some(read_integer(reader)?),
            "seq" => self.seq = Some(read_integer(reader)?),
            "hash" => self.hash = Some(read_hash(reader)?.ok_or_else(|| InvalidRecord::new("must not be null"))?),
            "payload_hash" => {
                self.payload_hash = Some(read_hash(reader)?.ok_or_else(|| InvalidRecord::new("must not be null"))?);
            }
            "prev_hash" => self.prev_hash = Some(read_hash(reader)?),
            "salt" => self.salt = Some(read_salt(reader)?),
            "record" => self.record = Some(RecordParts::read(reader)?),
            "redacted" => match reader.token()? {
                Token::Bool(value) => self.redacted = Some(value),
                _ => return Err(InvalidRecord::new("must be true or false")),
            },
            _ => return Err(InvalidRecord::new("is not a member of an exported entry")),
        }
        Ok(())
    }

    fn build(self) -> Result<ChainEntry, InvalidRecord> {
        let missing = |key| InvalidRecord::new("is missing").within_key(key);
        let invalid = |key, reason: &str| InvalidRecord::new(reason).within_key(key);
        let parts = self.record.ok_or_else(|| missing("record"))?;
        let in_record = |key| missing(key).within_key("record");
        let record = Record {
            id: parts.id.ok_or_else(|| in_record("id"))?,
            stream: parts.stream.ok_or_else(|| in_record("stream"))?,
            timestamp: parts.timestamp.ok_or_else(|| in_record("timestamp"))?,
            payload: parts.payload,
            meta: parts.meta,
        };
        record::check_text("id", &record.id, record::MAX_ID_BYTES)
            .and_then(|()| record::check_text("stream", &record.stream, record::MAX_STREAM_BYTES))
            .and_then(|()| record::check_timestamp(record.timestamp))
            .map_err(|error| error.within_key("record"))?;
        let salt = self.salt.ok_or_else(|| missing("salt"))?;
        let redacted = self.redacted.ok_or_else(|| missing("redacted"))?;
        if redacted != record.payload.is_none() || redacted != salt.is_none() {
            return Err(invalid("redacted", "does not agree with the presence of payload and salt"));
        }
        let number = |key, value: Option<i64>| value.ok_or_else(|| missing(key));
        Ok(ChainEntry {
            seq: u64::try_from(number("seq", self.seq)?).map_err(|_| invalid("seq", "must not be negative"))?,
            format: u32::try_from(number("format", self.format)?)
                .map_err(|_| invalid("format", "is not an entry format"))?,
            hash: self.hash.ok_or_else(|| missing("hash"))?,
            prev_hash: self.prev_hash.ok_or_else(|| missing("prev_hash"))?,
            salt,
            payload_hash: self.payload_hash.ok_or_else(|| missing("payload_hash"))?,
            record,
        })
    }
}

fn read_hash(reader: &mut Reader<'_>) -> Result<Option<Hash>, InvalidRecord> {
    match reader.token()? {
        Token::Null => Ok(None),
        Token::String(text) => Hash::from_hex(&text)
            .map(Some)
            .ok_or_else(|| InvalidRecord::new("must be 64 lower-case hexadecimal digits")),
        _ => Err(InvalidRecord::new("must be 64 lower-case hexadecimal digits")),
    }
}

fn read_salt(reader: &mut Reader<'_>) -> Result<Option<Salt>, InvalidRecord> {
    let refuse = || InvalidRecord::new("must be 32 lower-case hexadecimal digits");
    match reader.token()? {
        Token::Null => Ok(None),
        Token::String(text) => {
            // A salt is half a hash: the same reader serves, over the digits twice.
            let hash = Hash::from_hex(&format!("{text}{text}")).ok_or_else(refuse)?;
            hash.0[..16].try_into().map(Some).map_err(|_| refuse())
        }
        _ => Err(refuse()),
    }
}
