//! What a viewer sees: the condition that every entry handed out to them meets.

use nucleus_core::{ACL_GRANTS_STREAM, ChainEntry, REDACTIONS_STREAM, canonical};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::connect::Doing;
use super::grants::allows;
use super::versions::Versions;
use crate::access::{Question, Resource, Scope, Viewer, WHOLE_KIND, about_redaction, about_resource};
use crate::error::Result;

/// What there is to see for a viewer in the streams of one query.
pub(super) struct Sight {
    /// The condition on a row of `entries`, with its parameters; None where everything is seen.
    pub(super) condition: Option<(String, Vec<Value>)>,
    /// What is granted of whole kinds.
    pub(super) whole: Whole,
}

/// What is granted of a kind as a whole.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// The streams of which everything is seen.
    pub(super) streams: Vec<String>,
    /// Whether any of it is `full`: then there may be much to see in the engine's own streams.
    pub(super) full: bool,
}

impl Viewer {
    pub(super) fn question<'a>(&'a self, resource: &'a Resource, scope: Scope) -> Question<'a> {
        Question { principal_oid: &self.principal_oid, resource, scope, now_s: self.now_s }
    }

    /// Whether they may see this entry.
    pub(super) fn sees(&self, versions: &Versions<'_>, entry: &ChainEntry) -> Result<bool> {
        let record = &entry.record;
        let connection = versions.connection;
        if record.stream == ACL_GRANTS_STREAM {
            let about = about_resource(record);
            return about.map_or(Ok(false), |about| allows(connection, &self.question(&about, Scope::Full)));
        }
        if record.stream == REDACTIONS_STREAM {
            let Some(seq) = about_redaction(record) else {
                return Ok(false);
            };
            let Some(redacted) = versions.entry_at(seq as i64)? else {
                return Ok(false);
            };
            let about = self.kinds.governing(&redacted.record);
            return about.map_or(Ok(false), |about| allows(connection, &self.question(&about, Scope::Full)));
        }
        let resource = self.kinds.governing(record);
        resource.map_or(Ok(false), |resource| allows(connection, &self.question(&resource, Scope::Read)))
    }

    /// Whether they may read the resource of this id in a stream, which is none of the engine's own.
    pub(super) fn reads(&self, connection: &Connection, id: &str, stream: &str) -> Result<bool> {
        let Some(kind) = self.kinds.kind_of(stream) else {
            return Ok(false);
        };
        let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
        allows(connection, &self.question(&resource, Scope::Read))
    }

    /// What there is to see in one stream, or in all.
    pub(super) fn sight(&self, connection: &Connection, stream: Option<&str>) -> Result<Sight> {
        let whole = self.whole(connection, stream)?;
        let everything = stream.is_some_and(|stream| whole.streams.iter().any(|whole| whole == stream));
        let condition = if everything { None } else { Some(self.condition(connection, stream, &whole.streams)?) };
        Ok(Sight { condition, whole })
    }

    /// Whether the viewer has any grant of a scope: each that is looked for costs a search for every entry.
    fn holds(&self, connection: &Connection, scope: Scope) -> Result<bool> {
        let doing = "reading the scopes of a principal's grants";
        let sql =
            "SELECT 1 FROM acl_grants INDEXED BY acl_grants_principal WHERE principal_oid = ?1 AND scope = ?2 LIMIT 1";
        connection.prepare_cached(sql).doing(doing)?.exists((&*self.principal_oid, scope.name())).doing(doing)
    }

    /// What is granted of whole kinds.
    pub(super) fn whole(&self, connection: &Connection, stream: Option<&str>) -> Result<Whole> {
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
        &self,
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
        let governing = "scope = 'full'";
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
        if in_question(ACL_GRANTS_STREAM) {
            let (kind, id) = ("payload ->> '$.resource_kind'", "payload ->> '$.resource_id'");
            let (here, whole) = (granted(kind, id, governing), granted(kind, "'*'", governing));
            terms.push(format!("(stream = '{ACL_GRANTS_STREAM}' AND ({here} OR {whole}))"));
            values.extend(self.holder());
            values.extend(self.holder());
        }
        if in_question(REDACTIONS_STREAM) {
            let (kind, kinds) = self.kind_expression("about.stream");
            let (here, whole) = (granted(&kind, "about.record_id", governing), granted(&kind, "'*'", governing));
            terms.push(format!(
                "(stream = '{REDACTIONS_STREAM}' AND EXISTS (SELECT 1 FROM entries about \
                 WHERE about.seq = entries.payload ->> '$.seq' AND ({here} OR {whole})))"
            ));
            for _ in 0..2 {
                values.extend(kinds.iter().cloned());
                values.extend(self.holder());
            }
        }
        let condition = if terms.is_empty() { "false".to_owned() } else { format!("({})", terms.join(" OR ")) };
        Ok((condition, values))
    }

    fn holder(&self) -> [Value; 2] {
        [Value::Text(self.principal_oid.to_string()), Value::Integer(self.now_s)]
    }

    /// The SQL of a stream's kind: NULL, which equals nothing, where there is none.
    fn kind_expression(&self, stream: &str) -> (String, Vec<Value>) {
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
