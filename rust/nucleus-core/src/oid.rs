//! OIDs name principals: `oid:<namespace>:<type>:<id>`, optionally followed by `:<subtype>:<subid>` pairs.

use crate::error::{InvalidRecord, shortened};

/// Longest OID, in bytes.
pub const MAX_OID_BYTES: usize = 255;

/// Checks the form of an OID. Nothing is trimmed or case-folded: OIDs are compared byte for byte.
pub fn check_oid(oid: &str) -> Result<(), InvalidRecord> {
    let refuse = |why: &str| {
        Err(InvalidRecord::new(format!(
            "`{}` is not an OID: {why}; expected oid:<namespace>:<type>:<id>, e.g. oid:onoal:user:alice",
            shortened(oid).escape_debug()
        )))
    };
    if oid.len() > MAX_OID_BYTES {
        return refuse("it is longer than 255 bytes");
    }
    let Some(rest) = oid.strip_prefix("oid:") else {
        return refuse("it does not begin with `oid:`");
    };
    let parts: Vec<&str> = rest.split(':').collect();
    if parts.len() < 3 || parts.len().is_multiple_of(2) {
        return refuse("a part is missing");
    }
    for (position, part) in parts.iter().enumerate() {
        let is_id = position >= 2 && position.is_multiple_of(2);
        let allowed = if is_id { is_id_byte } else { is_type_byte };
        if part.is_empty() {
            return refuse("a part is empty");
        }
        if !part.bytes().all(allowed) {
            return refuse(if is_id {
                "an id holds letters, digits and `. _ - + = / @` only"
            } else {
                "namespace and types hold a-z, 0-9 and `-` only"
            });
        }
    }
    Ok(())
}

fn is_type_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+=/@".contains(&byte)
}
