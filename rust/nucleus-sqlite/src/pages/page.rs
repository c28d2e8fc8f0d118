//! Pages of matching entries, and distinct values of indexed members.

use nucleus_core::canonical::{self, write_string};
use nucleus_core::{CanonicalJson, ChainEntry};
use nucleus_engine::access::routes;
use nucleus_engine::model::{
    Cursor, Error, FieldIndex, FieldValues, Order, PayloadTest, QueryFilters, QueryPage, Result, is_own_stream,
};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use crate::connect::Doing;
use crate::lookup::field_index;
use crate::lookup::runs::Span;
use crate::pages::places::{Places, holds_more_than};
use crate::pages::versions::Versions;
use crate::pages::visible::{Viewer, Whole};
use crate::rows::{COLUMNS, read_entry};
use crate::state::SqliteStorage;

/// A viewer with more resources than this is not served from them where an index over payload members leads to few rows.
const FEW_BESIDE_AN_INDEX: usize = 64;

/// An id with so many entries may be in use in many streams.
const MANY_ENTRIES: usize = 64;

/// Most streams that are gone through for the entries of one id.
const MOST_STREAMS_OF_ID: usize = 8;

/// A stream with more entries than this is not gone through for those of one id.
const MOST_GONE_THROUGH: usize = 256;

/// More terms than this are joined as a tree.
const TERMS_IN_A_ROW: usize = 16;

/// Most candidates of an id that are looked at in one statement.
const MOST_CANDIDATES: usize = 1_024;

impl Versions<'_> {
    /// One page of matching entries.
    pub(crate) fn page(&mut self, filters: &QueryFilters, viewer: Option<Viewer<'_>>) -> Result<QueryPage> {
        let mut sieve = Sieve::new(filters);
        // What is superseded is sifted out here, so that the database cannot know how many rows it takes.
        let most_rows = (!filters.latest_only).then(|| sieve.rows_needed());
        let total = if filters.with_total { Some(self.count(filters, viewer)?) } else { None };
        let span = match filters.cursor {
            Some(Cursor { after_seq, order: Order::Ascending }) => Span { after: after_seq, ..Span::ALL },
            Some(Cursor { after_seq, order: Order::Descending }) => Span { before: after_seq, ..Span::ALL },
            None => Span::ALL,
        };
        let scan = Scan { columns: COLUMNS, span, most_rows, exhaustive: false };
        self.scan((filters, viewer), &scan, &mut |versions, row| {
            if filters.latest_only && !versions.row_is_latest(row)? {
                return Ok(true);
            }
            sieve.take(row, versions.storage)
        })?;
        let mut entries = sieve.entries;
        let has_more = entries.len() > filters.limit;
        entries.truncate(filters.limit);
        let next_cursor =
            entries.last().filter(|_| has_more).map(|last| Cursor { after_seq: last.seq as i64, order: filters.order });
        Ok(QueryPage { entries, next_cursor, total })
    }

    fn count(&mut self, filters: &QueryFilters, viewer: Option<Viewer<'_>>) -> Result<u64> {
        let mut total = 0;
        if filters.latest_only {
            self.scan((filters, viewer), &Scan::all(COLUMNS), &mut |versions, row| {
                total += u64::from(versions.row_is_latest(row)?);
                Ok(true)
            })?;
        } else {
            self.scan((filters, viewer), &Scan::all("count(*)"), &mut |_, row| {
                total += row.get::<_, i64>(0).doing("counting matching entries")? as u64;
                Ok(true)
            })?;
        }
        Ok(total)
    }

    fn row_is_latest(&mut self, row: &Row<'_>) -> Result<bool> {
        let doing = "reading an entry";
        let seq = row.get(0).doing(doing)?;
        let text = |index: usize| {
            let value = row.get_ref(index).doing(doing)?;
            value.as_str().map_err(rusqlite::Error::from).doing(doing)
        };
        self.is_latest(seq, text(4)?, text(5)?)
    }

    /// Hands every matching row to `visit`, in order, until it answers false.
    fn scan(
        &mut self,
        (filters, viewer): (&QueryFilters, Option<Viewer<'_>>),
        scan: &Scan<'_>,
        visit: &mut dyn FnMut(&mut Self, &Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let index = self.storage.index_for(filters);
        let base = Condition::of(filters, index.as_ref());
        let mut condition = base.clone();
        let mut scan = *scan;
        let mut places = None;
        if let Some(viewer) = viewer {
            if let Some(id) = &filters.id
                && !self.may_see(viewer, id, filters.stream.as_deref())?
            {
                return Ok(());
            }
            let stream = filters.stream.as_deref();
            let visible = viewer.visible(self.connection, stream)?;
            let whole = visible.whole;
            if let Some(seen) = visible.condition {
                condition.push(seen);
                if filters.id.is_none() {
                    if stream.is_none()
                        && !scan.exhaustive
                        && self.likely_near(viewer, filters, &whole)?
                        && self.scan_window(filters, &mut scan, &condition, visit)?
                    {
                        return Ok(());
                    }
                    places = viewer.places(self, stream, &whole, scan.exhaustive, index.is_some())?;
                    // Going through a stream is what the plain plan does, and with an index it is faster.
                    places = places.filter(|places| stream.is_none() || places.streams.is_empty());
                    let by_index = index.as_ref().is_some_and(|index| leads_to(index, filters, &viewer.principal_oid));
                    places = places.filter(|places| !by_index || places.ids.len() <= FEW_BESIDE_AN_INDEX);
                }
            }
        }
        if let Some(id) = &filters.id
            && index.is_none()
        {
            places = Some(self.places_of_id(id, filters, viewer)?);
        }
        let Some(places) = places else {
            return self.scan_plainly(filters, &scan, condition, index.as_ref(), visit);
        };
        let streams = self.parts(places.streams, &base, viewer)?;
        let candidates = Candidates { ids: places.ids, streams, condition: &condition };
        self.scan_candidates(filters, &scan, &candidates, visit)
    }

    /// The same in one statement, by an index or through the chain.
    fn scan_plainly(
        &mut self,
        filters: &QueryFilters,
        scan: &Scan<'_>,
        mut condition: Condition,
        index: Option<&FieldIndex>,
        visit: &mut dyn FnMut(&mut Self, &Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        condition.within(scan.span);
        let mut sql = condition.select(scan.columns, index, filters.order);
        if let Some(most_rows) = scan.most_rows {
            sql.push_str(" LIMIT ?");
            condition.values.push(Value::Integer(i64::try_from(most_rows).unwrap_or(i64::MAX)));
        }
        self.run(&sql, &condition.values, visit).map(|_| ())
    }

    /// Whether a viewer could see an entry with this id, in this stream where one is given: grants are asked, not entries.
    fn may_see(&mut self, viewer: Viewer<'_>, id: &str, stream: Option<&str>) -> Result<bool> {
        match stream {
            Some(stream) if is_own_stream(stream) => Ok(true),
            Some(stream) => viewer.reads(self.connection, id, stream),
            None => Ok(!self.streams_seen(id, viewer)?.is_empty()),
        }
    }

    /// Where to look for an id: among all its entries or, where others use it in many streams, in the few streams of few
    /// entries that are in question.
    fn places_of_id(&mut self, id: &str, filters: &QueryFilters, viewer: Option<Viewer<'_>>) -> Result<Places> {
        let all = Places { ids: vec![id.to_owned()], streams: Vec::new() };
        if self.candidates(id, Span::ALL, filters.order, MANY_ENTRIES)?.len() < MANY_ENTRIES {
            return Ok(all);
        }
        let streams = match (&filters.stream, viewer) {
            (Some(stream), _) => vec![stream.clone()],
            (None, Some(viewer)) => self.streams_seen(id, viewer)?,
            (None, None) => return Ok(all),
        };
        if streams.len() > MOST_STREAMS_OF_ID {
            return Ok(all);
        }
        for stream in &streams {
            if holds_more_than(self.connection, stream, MOST_GONE_THROUGH)? {
                return Ok(all);
            }
        }
        Ok(Places { ids: Vec::new(), streams })
    }

    /// The streams to look in, each with the condition on its entries: shorter than that on entries of any stream.
    fn parts(
        &self,
        streams: Vec<String>,
        base: &Condition,
        viewer: Option<Viewer<'_>>,
    ) -> Result<Vec<(String, Condition)>> {
        let mut parts = Vec::with_capacity(streams.len());
        for stream in streams {
            let mut condition = base.clone();
            if let Some(viewer) = viewer
                && let Some(seen) = viewer.visible(self.connection, Some(&stream))?.condition
            {
                condition.push(seen);
            }
            parts.push((stream, condition));
        }
        Ok(parts)
    }

    /// Whether a page is likely to be filled by the next entries of the chain, or would cost more to look up.
    fn likely_near(&self, viewer: Viewer<'_>, filters: &QueryFilters, whole: &Whole) -> Result<bool> {
        Ok(!whole.streams.is_empty() || viewer.has_more_grants_than(self, routes::many_for_a_window(filters.limit))?)
    }

    /// Goes through the next entries of the chain, which fill a page of somebody who sees much; true where `visit` has had
    /// enough, else the scan begins behind them.
    fn scan_window(
        &mut self,
        filters: &QueryFilters,
        scan: &mut Scan<'_>,
        condition: &Condition,
        visit: &mut dyn FnMut(&mut Self, &Row<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let width = routes::window_width(filters.limit);
        let (mut window, rest) = (scan.span, &mut scan.span);
        match filters.order {
            Order::Ascending => {
                window.before = window.before.min(window.after.saturating_add(width).saturating_add(1));
                rest.after = window.before - 1;
            }
            Order::Descending => {
                window.before = window.before.min(self.length() as i64);
                window.after = window.after.max(window.before.saturating_sub(width).saturating_sub(1));
                rest.before = window.after + 1;
            }
        }
        let mut condition = condition.clone();
        condition.within(window);
        let sql = condition.select(scan.columns, None, filters.order);
        Ok(!self.run(&sql, &condition.values, visit)?)
    }

    /// The same for the versions of some ids and the entries of some streams, in chunks: an id may have any number of
    /// versions.
    fn scan_candidates(
        &mut self,
        filters: &QueryFilters,
        scan: &Scan<'_>,
        candidates: &Candidates<'_>,
        visit: &mut dyn FnMut(&mut Self, &Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let sql = candidates.select(scan.columns, filters.order);
        let mut span = scan.span;
        let mut chunk = filters.limit.saturating_add(1).min(MOST_CANDIDATES);
        loop {
            let (seqs, complete) = self.next_candidates(&candidates.ids, span, filters.order, chunk)?;
            self.refuse_gaps(&seqs)?;
            if !self.run(&sql, &candidates.values(&seqs, complete), visit)? || complete == span {
                return Ok(());
            }
            match filters.order {
                Order::Ascending => span.after = complete.before - 1,
                Order::Descending => span.before = complete.after + 1,
            }
            chunk = MOST_CANDIDATES;
        }
    }

    /// Seqs of entries that may have one of these ids, and the part of `span` in which they are all there are.
    fn next_candidates(&mut self, ids: &[String], span: Span, order: Order, chunk: usize) -> Result<(Vec<i64>, Span)> {
        let [id] = ids else {
            return self.candidates_of(ids, span, order, chunk);
        };
        let seqs = self.candidates(id, span, order, chunk)?;
        let mut complete = span;
        if let (Some(last), true) = (seqs.last(), seqs.len() == chunk) {
            match order {
                Order::Ascending => complete.before = last + 1,
                Order::Descending => complete.after = last - 1,
            }
        }
        Ok((seqs, complete))
    }

    /// Runs one statement; false where `visit` has had enough.
    fn run(
        &mut self,
        sql: &str,
        values: &[Value],
        visit: &mut dyn FnMut(&mut Self, &Row<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let doing = "querying entries";
        let connection = self.connection;
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query(params_from_iter(values)).doing(doing)?;
        while let Some(row) = rows.next().doing(doing)? {
            if !visit(self, row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Passes over the offset and keeps one entry more than the page has, which tells whether there is a next one.
struct Sieve {
    offset: u64,
    limit: usize,
    entries: Vec<ChainEntry>,
}

impl Sieve {
    fn new(filters: &QueryFilters) -> Self {
        Self { offset: filters.offset, limit: filters.limit, entries: Vec::new() }
    }

    fn rows_needed(&self) -> u64 {
        self.offset.saturating_add(self.limit as u64).saturating_add(1)
    }

    /// Takes a row; false once the page is full.
    fn take(&mut self, row: &Row<'_>, storage: &SqliteStorage) -> Result<bool> {
        if self.offset > 0 {
            self.offset -= 1;
            return Ok(true);
        }
        self.entries.push(read_entry(row, &storage.ledger_hash)?);
        Ok(self.entries.len() <= self.limit)
    }
}

/// What of the matching rows is read.
#[derive(Debug, Clone, Copy)]
struct Scan<'a> {
    columns: &'a str,
    span: Span,
    /// No more than so many are taken.
    most_rows: Option<u64>,
    /// Whether all of them are taken.
    exhaustive: bool,
}

impl<'a> Scan<'a> {
    /// Of every row.
    fn all(columns: &'a str) -> Self {
        Self { columns, span: Span::ALL, most_rows: None, exhaustive: true }
    }
}

/// Whether what an index leads to is the viewer's own by name, as in a list of what they own themselves: then it leads to
/// little that they do not see.
fn leads_to(index: &FieldIndex, filters: &QueryFilters, principal_oid: &str) -> bool {
    let (_, own) = QueryFilters::text_member(("", principal_oid));
    filters.payload.iter().any(|(field, value)| *value == own && index.fields().contains(field))
}

/// Where the rows of a query are looked for, and what they must meet.
struct Candidates<'a> {
    ids: Vec<String>,
    /// Each with the condition on its entries.
    streams: Vec<(String, Condition)>,
    /// The condition on entries of any other stream.
    condition: &'a Condition,
}

impl Candidates<'_> {
    /// One part for the ids and one for each stream, which SQLite merges by seq as they are read.
    fn select(&self, columns: &str, order: Order) -> String {
        let within = "seq > ? AND seq < ?";
        let elsewhere = match self.streams.len() {
            0 => String::new(),
            count => format!(" AND stream NOT IN ({})", vec!["?"; count].join(", ")),
        };
        let mut sql = format!(
            "SELECT {columns} FROM entries WHERE {} AND {within}{elsewhere} AND seq IN (SELECT value FROM json_each(?))",
            self.condition.all_terms()
        );
        for (_, condition) in &self.streams {
            sql.push_str(&format!(
                " UNION ALL SELECT {columns} FROM entries INDEXED BY entries_stream WHERE {} AND {within} AND stream = ?",
                condition.all_terms()
            ));
        }
        if columns == COLUMNS {
            sql.push_str(&format!(" ORDER BY seq {}", direction(order)));
        }
        sql
    }

    fn values(&self, seqs: &[i64], span: Span) -> Vec<Value> {
        let within = [Value::Integer(span.after), Value::Integer(span.before)];
        let list: Vec<String> = seqs.iter().map(ToString::to_string).collect();
        let mut values = self.condition.values.clone();
        values.extend(within.iter().cloned());
        values.extend(self.streams.iter().map(|(stream, _)| Value::Text(stream.clone())));
        values.push(Value::Text(format!("[{}]", list.join(","))));
        for (stream, condition) in &self.streams {
            values.extend(condition.values.iter().cloned());
            values.extend(within.iter().cloned());
            values.push(Value::Text(stream.clone()));
        }
        values
    }
}

/// The WHERE clause of a query, with its parameters in order.
#[derive(Debug, Clone)]
struct Condition {
    terms: Vec<String>,
    values: Vec<Value>,
}

impl Condition {
    fn of(filters: &QueryFilters, index: Option<&FieldIndex>) -> Self {
        let mut condition = Self { terms: Vec::new(), values: Vec::new() };
        match (&filters.stream, index) {
            // As the index itself has it, so that SQLite sees that it applies.
            (_, Some(index)) => condition.terms.push(format!("stream = '{}'", index.stream())),
            (Some(stream), None) => condition.add("stream = ?", Value::Text(stream.clone())),
            (None, None) => {}
        }
        if let Some(id) = &filters.id {
            condition.add("record_id = ?", Value::Text(id.clone()));
        }
        if let Some(since) = filters.since {
            condition.add("timestamp >= ?", Value::Integer(since));
        }
        if let Some(until) = filters.until {
            condition.add("timestamp < ?", Value::Integer(until));
        }
        for (field, value) in &filters.payload {
            condition.member(field, value, index);
        }
        for test in &filters.tests {
            condition.test(test);
        }
        condition
    }

    fn push(&mut self, (term, values): (String, Vec<Value>)) {
        self.terms.push(term);
        self.values.extend(values);
    }

    fn add(&mut self, term: &str, value: Value) {
        self.terms.push(term.to_owned());
        self.values.push(value);
    }

    /// `->` answers the member's own canonical text, so that `true` is not `1`, nor `"1"`.
    fn member(&mut self, field: &str, value: &CanonicalJson, index: Option<&FieldIndex>) {
        if index.is_some_and(|index| index.fields().iter().any(|indexed| indexed == field)) {
            self.terms.push(format!("{} = ?", field_index::expression(field)));
        } else {
            let mut path = String::from("$.");
            write_string(&mut path, field);
            self.terms.push("payload -> ? = ?".to_owned());
            self.values.push(Value::Text(path));
        }
        self.values.push(Value::Text(value.as_str().to_owned()));
    }

    /// The names and values of tests are the engine's own and need no escape. None holds of an erased payload, of which every
    /// member is NULL.
    fn test(&mut self, test: &PayloadTest) {
        match test {
            PayloadTest::Present => self.terms.push("payload IS NOT NULL".to_owned()),
            PayloadTest::OneOf { member, values, wanted } => {
                let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
                let is = format!("payload -> '$.{member}' IN ({})", values.join(", "));
                self.terms.push(if *wanted { is } else { format!("payload IS NOT NULL AND NOT coalesce({is}, 0)") });
            }
            PayloadTest::AtMost { member, most, wanted } => {
                let not = if *wanted { "" } else { "payload IS NOT NULL AND NOT " };
                let path = format!("'$.{member}'");
                let term =
                    format!("{not}coalesce(json_type(payload, {path}) = 'integer' AND payload ->> {path} <= ?, 0)");
                self.add(&term, Value::Integer(*most));
            }
        }
    }

    fn within(&mut self, span: Span) {
        if span.after != Span::ALL.after {
            self.add("seq > ?", Value::Integer(span.after));
        }
        if span.before != Span::ALL.before {
            self.add("seq < ?", Value::Integer(span.before));
        }
    }

    /// All terms, each in as few pairs of parentheses as a balanced tree has: SQLite bounds the depth of an expression.
    fn all_terms(&self) -> String {
        fn joined(terms: &[String]) -> String {
            match terms {
                [] => "true".to_owned(),
                [term] => term.clone(),
                terms if terms.len() <= TERMS_IN_A_ROW => terms.join(" AND "),
                terms => {
                    let (first, second) = terms.split_at(terms.len() / 2);
                    format!("({}) AND ({})", joined(first), joined(second))
                }
            }
        }
        joined(&self.terms)
    }

    fn select(&self, columns: &str, index: Option<&FieldIndex>, order: Order) -> String {
        let terms = self.all_terms();
        let by = index.map_or(String::new(), |index| format!(" INDEXED BY \"{}\"", field_index::name(index)));
        format!("SELECT {columns} FROM entries{by} WHERE {terms} ORDER BY seq {}", direction(order))
    }
}

fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    }
}

impl SqliteStorage {
    /// The index with the most members among those whose members a query all names.
    fn index_for(&self, filters: &QueryFilters) -> Option<FieldIndex> {
        let stream = filters.stream.as_deref()?;
        if filters.payload.is_empty() {
            return None;
        }
        let named = |field: &String| filters.payload.iter().any(|(name, _)| name == field);
        let indexes = self.field_indexes();
        let fitting = indexes.iter().filter(|index| index.stream() == stream && index.fields().iter().all(named));
        fitting.max_by_key(|index| index.fields().len()).cloned()
    }

    /// See [`nucleus_engine::store::Read::field_values`].
    pub(crate) fn read_field_values(
        &self,
        connection: &Connection,
        query: &FieldValues<'_>,
        viewer: Option<Viewer<'_>>,
    ) -> Result<Vec<String>> {
        let wanted: Vec<&str> = query.payload.iter().map(|(name, _)| name.as_str()).chain([query.field]).collect();
        let indexes = self.field_indexes();
        let Some(index) = indexes.iter().find(|index| index.stream() == query.stream && index.fields() == wanted)
        else {
            return Err(Error::Config(format!(
                "the file has no index over {} of stream `{}`, so the values cannot be listed; open it once for \
                 writing with the module that declares it",
                wanted.join(", ").escape_debug(),
                query.stream.escape_debug()
            )));
        };
        let mut terms = vec![format!("stream = '{}'", index.stream())];
        terms.extend(query.payload.iter().map(|(name, _)| format!("{} = ?", field_index::expression(name))));
        let value = field_index::expression(query.field);
        let visible = match viewer {
            None => None,
            Some(viewer) => viewer.visible(connection, Some(query.stream))?.condition,
        };
        terms.extend(visible.iter().map(|(term, _)| term.clone()));
        terms.push(format!("{value} > ?"));
        // One seek for each distinct value, however many entries share it. Strings alone begin with a quote.
        let sql = format!(
            "SELECT {value} FROM entries INDEXED BY \"{}\" WHERE {} ORDER BY {value} LIMIT 1",
            field_index::name(index),
            terms.join(" AND ")
        );
        let doing = "listing the values of a member";
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut last = match query.after {
            None => "\"".to_owned(),
            Some(after) => {
                let mut text = String::new();
                write_string(&mut text, after);
                text
            }
        };
        let mut values = Vec::new();
        while values.len() < query.limit {
            let text = |text: &str| Value::Text(text.to_owned());
            let mut parameters: Vec<Value> = query.payload.iter().map(|(_, value)| text(value.as_str())).collect();
            parameters.extend(visible.iter().flat_map(|(_, values)| values.iter().cloned()));
            parameters.push(text(&last));
            let mut rows = statement.query(params_from_iter(parameters)).doing(doing)?;
            let next: Option<String> = match rows.next().doing(doing)? {
                Some(row) => Some(row.get(0).doing(doing)?),
                None => None,
            };
            drop(rows);
            match next.as_deref().map(canonical::string_value) {
                Some(Some(value)) => values.push(value),
                _ => break,
            }
            last = next.unwrap_or_default();
        }
        Ok(values)
    }
}
