//! What a viewer sees: the condition that every entry handed out to them meets.

use std::ops::Deref;

use nucleus_core::canonical;
use nucleus_engine::model::{About, OWN_STREAMS, Resource, Result, Rule, Scope, Sight, WHOLE_KIND};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::connect::Doing;
use crate::grants::allows;

/// Somebody who sees what they are granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    rule: &'a Rule,
}

impl<'a> Viewer<'a> {
    /// Who sees by a sight what they are granted; None where everything is seen.
    pub(crate) fn of(sight: &'a Sight) -> Option<Self> {
        sight.rule().map(|rule| Self { rule })
    }
}

impl Deref for Viewer<'_> {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        self.rule
    }
}

/// What there is to see for a viewer in the streams of one query.
pub(crate) struct Visible {
    /// The condition on a row of `entries`, with its parameters; None where everything is seen.
    pub(crate) condition: Option<(String, Vec<Value>)>,
    /// What is granted of whole kinds.
    pub(crate) whole: Whole,
}

/// What is granted of a kind as a whole.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// The streams of which everything is seen.
    pub(crate) streams: Vec<String>,
    /// Whether any of it is `full`: then there may be much to see in the engine's own streams.
    pub(crate) full: bool,
}

impl Viewer<'_> {
    /// Whether they may read the resource of this id in a stream, which is none of the engine's own.
    pub(crate) fn reads(self, connection: &Connection, id: &str, stream: &str) -> Result<bool> {
        self.admits_resource(id, stream, &mut |question| allows(connection, question))
    }

    /// What there is to see in one stream, or in all.
    pub(crate) fn visible(self, connection: &Connection, stream: Option<&str>) -> Result<Visible> {
        let whole = self.whole(connection, stream)?;
        let everything = stream.is_some_and(|stream| whole.streams.iter().any(|whole| whole == stream));
        let condition = if everything { None } else { Some(self.condition(connection, stream, &whole.streams)?) };
        Ok(Visible { condition, whole })
    }

    /// Whether the viewer has any grant of a scope: each that is looked for costs a search for every entry.
    fn holds(self, connection: &Connection, scope: Scope) -> Result<bool> {
        let doing = "reading the scopes of a principal's grants";
        let sql =
            "SELECT 1 FROM acl_grants INDEXED BY acl_grants_principal WHERE principal_oid = ?1 AND scope = ?2 LIMIT 1";
        connection.prepare_cached(sql).doing(doing)?.exists((&*self.principal_oid, scope.name())).doing(doing)
    }

    /// What is granted of whole kinds.
    pub(crate) fn whole(self, connection: &Connection, stream: Option<&str>) -> Result<Whole> {
        let doing = "reading grants of whole kinds";
        let sql = "SELECT resource_kind, scope FROM acl_grants INDEXED BY acl_grants_whole_kind \
                   WHERE principal_oid = ?1 AND resource_id = '*' AND scope <> 'write' AND (exp IS NULL OR exp > ?2)";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query((&*self.principal_oid, self.now_s)).doing(doing)?;
        let mut whole = Whole::default();
        while let Some(row) = rows.next().doing(doing)? {
            let (kind, scope): (String, String) = (row.get(0).doing(doing)?, row.get(1).doing(doing)?);
            let resource = Resource { kind, id: WHOLE_KIND.to_owned() };
            if !allows(connection, &self.question(&resource, Scope::Read))? {
                continue;
            }
            whole.full |= scope == "full";
            let of_kind = self.kinds.streams_of(&resource.kind);
            let in_question = of_kind.iter().filter(|of| stream.is_none_or(|stream| stream == **of));
            whole.streams.extend(in_question.map(ToString::to_string));
        }
        whole.streams.sort_unstable();
        whole.streams.dedup();
        Ok(whole)
    }

    fn condition(
        self,
        connection: &Connection,
        stream: Option<&str>,
        whole_streams: &[String],
    ) -> Result<(String, Vec<Value>)> {
        let (governs, reads) = (self.holds(connection, Scope::Full)?, self.holds(connection, Scope::Read)?);
        let seeing = match (governs, reads) {
            (true, true) => Some("scope IN ('full', 'read')"),
            (true, false) => Some("scope = 'full'"),
            (false, true) => Some("scope = 'read'"),
            (false, false) => None,
        };
        let mut terms = Vec::new();
        let mut values = Vec::new();
        let in_question = |name: &str| governs && stream.is_none_or(|stream| stream == name);
        if !whole_streams.is_empty() {
            // One parameter, for they may be many.
            terms.push("stream IN (SELECT value FROM json_each(?))".to_owned());
            values.push(Value::Text(json_array(whole_streams)));
        }
        let kind = match stream {
            Some(stream) => self.kinds.kind_of(stream).map(|kind| ("?".to_owned(), vec![Value::Text(kind.to_owned())])),
            None => Some(self.kind_expression("stream")),
        };
        if let (Some((kind, kinds)), Some(seeing)) = (kind, seeing) {
            terms.push(granted(&kind, "record_id", seeing));
            values.extend(kinds);
            values.extend(self.holder());
        }
        for own in OWN_STREAMS.iter().filter(|own| in_question(own.name)) {
            let scope = format!("scope = '{}'", own.takes.name());
            let (name, kind, kinds, id) = match own.about {
                About::Named => {
                    (own.name, "payload ->> '$.resource_kind'".to_owned(), Vec::new(), "payload ->> '$.resource_id'")
                }
                About::Redacted => {
                    let (kind, kinds) = self.kind_expression("about.stream");
                    (own.name, kind, kinds, "about.record_id")
                }
            };
            let (here, whole) = (granted(&kind, id, &scope), granted(&kind, "'*'", &scope));
            terms.push(match own.about {
                About::Named => format!("(stream = '{name}' AND ({here} OR {whole}))"),
                About::Redacted => format!(
                    "(stream = '{name}' AND EXISTS (SELECT 1 FROM entries about \
                     WHERE about.seq = entries.payload ->> '$.seq' AND ({here} OR {whole})))"
                ),
            });
            for _ in 0..2 {
                values.extend(kinds.iter().cloned());
                values.extend(self.holder());
            }
        }
        let condition = if terms.is_empty() { "false".to_owned() } else { format!("({})", terms.join(" OR ")) };
        Ok((condition, values))
    }

    fn holder(self) -> [Value; 2] {
        [Value::Text(self.principal_oid.to_string()), Value::Integer(self.now_s)]
    }

    /// The SQL of a stream's kind: NULL, which equals nothing, where there is none.
    fn kind_expression(self, stream: &str) -> (String, Vec<Value>) {
        let mut sql = format!("CASE {stream}");
        let mut values = Vec::new();
        for (declared, kind) in self.kinds.declared() {
            sql.push_str(" WHEN ? THEN ?");
            values.extend([declared, kind].map(|text| Value::Text(text.to_owned())));
        }
        for none in self.kinds.without_resources() {
            sql.push_str(" WHEN ? THEN NULL");
            values.push(Value::Text(none.to_owned()));
        }
        sql.push_str(&format!(" ELSE {stream} END"));
        (sql, values)
    }
}

fn json_array(texts: &[String]) -> String {
    let mut array = String::from("[");
    for (position, text) in texts.iter().enumerate() {
        if position > 0 {
            array.push(',');
        }
        canonical::write_string(&mut array, text);
    }
    array.push(']');
    array
}

/// The SQL of whether the viewer has a grant. The index by principal has theirs side by side, where the table has them
/// among those of everybody.
fn granted(kind: &str, id: &str, scope: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM acl_grants INDEXED BY acl_grants_principal WHERE resource_kind = {kind} \
         AND resource_id = {id} AND principal_oid = ? AND {scope} AND (exp IS NULL OR exp > ?))"
    )
}
