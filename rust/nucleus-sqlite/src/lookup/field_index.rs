//! Declared indexes in SQLite's words: their name says what they are, their statement follows from it.

use nucleus_engine::model::FieldIndex;

/// The index that has this name in the database; None for names that no index of this kind has. So opening a file can tell
/// an index that this library made from any other.
pub(crate) fn from_name(name: &str) -> Option<FieldIndex> {
    let (stream, fields) = name.strip_prefix("field:")?.split_once(':')?;
    let fields: Vec<&str> = fields.split('+').collect();
    FieldIndex::new(stream, &fields).ok()
}

/// The name of an index in the database.
pub(crate) fn name(index: &FieldIndex) -> String {
    format!("field:{}:{}", index.stream(), index.fields().join("+"))
}

/// The SQL expression of one member's canonical text, as the index holds it.
pub(crate) fn expression(field: &str) -> String {
    format!("payload -> '$.{field}'")
}

/// The statement that makes an index.
pub(crate) fn sql(index: &FieldIndex) -> String {
    let expressions: Vec<String> = index.fields().iter().map(|field| expression(field)).collect();
    format!(
        "CREATE INDEX \"{}\" ON entries({}) WHERE stream = '{}'",
        name(index),
        expressions.join(", "),
        index.stream()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failure here is a failed test
mod tests {
    use super::*;

    #[test]
    fn the_name_alone_says_what_an_index_is() {
        let index = FieldIndex::new("tokens", &["symbol", "from_oid"]).unwrap();
        assert_eq!(from_name(&name(&index)), Some(index));
        for name in ["entries_stream", "field:a", "field:a:", "field:a'b:c", "field:a:b c", "field:a:b+"] {
            assert_eq!(from_name(name), None, "{name}");
        }
    }
}
