//! One id in several streams: where somebody sees it, so that they are never answered with another resource's entry.
//!
//! What a viewer sees follows from grants on the id, and costs by them; not by how often others use the id.

use std::collections::BTreeSet;

use nucleus_core::{ACL_GRANTS_STREAM, ChainEntry, REDACTION_ID_PREFIX, REDACTIONS_STREAM};
use nucleus_engine::model::{GRANTS_ID_PREFIX, Kinds, OfOneKind, Order, Resource, Result, Scope};
use rusqlite::{Connection, OptionalExtension};

use crate::connect::Doing;
use crate::grants::allows;
use crate::lookup::runs::Span;
use crate::pages::versions::Versions;
use crate::pages::visible::Viewer;

/// Grants on one id that are looked through at once; where there are more, kinds are gone through.
const FEW_GRANTS: i64 = 32;
/// A viewer who sees more streams is served from the entries of the id, where these are few.
const MOST_APART: usize = 8;
/// Most streams that are named, and so looked for, once it is clear that they are of several kinds.
const MOST_NAMED: usize = 8;
/// Candidates of an id looked at together.
const CHUNK: usize = 256;
/// An id with more versions than this is remembered.
const MANY_VERSIONS: usize = 64;
impl Versions<'_> {
    /// The newest entry with this id, where all that the asker sees of the id is of one kind of resources; else some of the
    /// streams that they see it in.
    pub(crate) fn latest_of_one_kind(
        &mut self,
        id: &str,
        kinds: &Kinds,
        viewer: Option<Viewer<'_>>,
    ) -> Result<OfOneKind> {
        if viewer.is_none()
            && let [seq] = self.candidates(id, Span::ALL, Order::Descending, 2)?[..]
        {
            return Ok(Ok(self.entry_with_id(seq, id, None)?));
        }
        let streams = self.streams_with(id, kinds, viewer)?;
        if kinds.are_several(&streams) {
            return Ok(Err(streams));
        }
        let mut newest: Option<ChainEntry> = None;
        for stream in &streams {
            let found = self.latest(id, Some(stream), None)?;
            newest = found.into_iter().chain(newest).max_by_key(|entry| entry.seq);
        }
        Ok(Ok(newest))
    }

    /// The streams in which the asker sees the id. Of one kind they are all, and one alone need not hold the id; of several
    /// kinds they are some, and hold it.
    pub(crate) fn streams_with(&mut self, id: &str, kinds: &Kinds, viewer: Option<Viewer<'_>>) -> Result<Vec<String>> {
        let Some(viewer) = viewer else {
            return self.streams_holding(id, kinds);
        };
        let seen = self.streams_seen(id, viewer)?;
        if seen.len() == 1 {
            return Ok(seen);
        }
        let mut holding: Vec<String> = Vec::new();
        let mut several = false;
        for stream in seen {
            if several && holding.len() >= MOST_NAMED {
                break;
            }
            if self.newest_seen(id, &stream, viewer)?.is_some() {
                several = several || kinds.are_several(holding.first().into_iter().chain([&stream]));
                holding.push(stream);
            }
        }
        Ok(named(holding, kinds))
    }

    /// The streams in which a viewer sees an entry with this id, if there is one.
    pub(crate) fn streams_seen(&mut self, id: &str, viewer: Viewer<'_>) -> Result<Vec<String>> {
        let kinds = viewer.kinds_granted_on(self.connection, id)?;
        let of_kinds = kinds.iter().flat_map(|kind| viewer.kinds.streams_of(kind)).map(str::to_owned);
        let mut streams: BTreeSet<String> = of_kinds.collect();
        streams.extend(viewer.whole(self.connection, None)?.streams);
        let own = [(GRANTS_ID_PREFIX, ACL_GRANTS_STREAM), (REDACTION_ID_PREFIX, REDACTIONS_STREAM)];
        for (_, stream) in own.into_iter().filter(|(prefix, _)| id.starts_with(prefix)) {
            if self.newest_seen(id, stream, viewer)?.is_some() {
                streams.insert(stream.to_owned());
            }
        }
        if streams.len() > MOST_APART
            && let Some(holding) = self.streams_of_few(id)?
        {
            streams.retain(|stream| holding.contains(stream));
        }
        Ok(streams.into_iter().collect())
    }

    /// The streams of an id with few entries; None where they are many.
    fn streams_of_few(&mut self, id: &str) -> Result<Option<BTreeSet<String>>> {
        let seqs = self.candidates(id, Span::ALL, Order::Descending, CHUNK)?;
        if seqs.len() == CHUNK { Ok(None) } else { self.streams_at(&seqs, id).map(Some) }
    }

    /// The streams that hold an id, for somebody who sees everything: all, or some of several kinds.
    fn streams_holding(&mut self, id: &str, kinds: &Kinds) -> Result<Vec<String>> {
        let known = self.storage.streams_of_ids.get(id);
        let (mut streams, looked_below) = known.unwrap_or_default();
        let end = self.length() as i64;
        let mut span = Span { after: looked_below - 1, before: end };
        let mut looked_at = 0;
        // What is known of several kinds is enough: they were found in one look.
        while !kinds.are_several(&streams) {
            let seqs = self.candidates(id, span, Order::Descending, CHUNK)?;
            streams.append(&mut self.streams_at(&seqs, id)?);
            looked_at += seqs.len();
            match seqs.last() {
                Some(last) if seqs.len() == CHUNK => span.before = *last,
                _ => {
                    if looked_at > MANY_VERSIONS && self.shows_only_committed() {
                        self.storage.streams_of_ids.remember(id, streams.clone(), end);
                    }
                    break;
                }
            }
        }
        Ok(named(streams.into_iter().collect(), kinds))
    }

    /// The streams of those of these entries that have an id.
    pub(crate) fn streams_at(&self, seqs: &[i64], id: &str) -> Result<BTreeSet<String>> {
        let doing = "reading the streams of an id";
        let sql = "SELECT stream FROM entries WHERE seq = ?1 AND record_id = ?2";
        let mut statement = self.connection.prepare_cached(sql).doing(doing)?;
        let mut streams = BTreeSet::new();
        for seq in seqs {
            let stream: Option<String> = statement.query_row((seq, id), |row| row.get(0)).optional().doing(doing)?;
            streams.extend(stream);
        }
        Ok(streams)
    }
}

/// All streams of one kind; of several kinds a few, which are of several too.
fn named(streams: Vec<String>, kinds: &Kinds) -> Vec<String> {
    if streams.len() <= MOST_NAMED || !kinds.are_several(&streams) {
        return streams;
    }
    let mut named: Vec<String> = Vec::with_capacity(MOST_NAMED);
    for stream in streams {
        if named.len() < MOST_NAMED && (named.is_empty() || kinds.are_several(named.iter().chain([&stream]))) {
            named.push(stream);
        }
    }
    named
}

impl Viewer<'_> {
    /// The kinds on whose resource of this id the viewer has a grant to read, on exactly it.
    fn kinds_granted_on(self, connection: &Connection, id: &str) -> Result<Vec<String>> {
        let doing = "looking for grants on an id";
        let sql = "SELECT resource_kind, principal_oid = ?2 AND scope <> 'write' AND (exp IS NULL OR exp > ?3) \
                   FROM acl_grants NOT INDEXED WHERE resource_id = ?1 LIMIT ?4";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut rows = statement.query((id, &*self.principal_oid, self.now_s, FEW_GRANTS)).doing(doing)?;
        let (mut kinds, mut count) = (Vec::new(), 0);
        while let Some(row) = rows.next().doing(doing)? {
            count += 1;
            if row.get(1).doing(doing)? {
                kinds.push(row.get(0).doing(doing)?);
            }
        }
        if count < FEW_GRANTS { Ok(kinds) } else { self.kinds_granted_on_known(connection, id) }
    }

    /// The same for an id on which there are many grants: kind by kind, of those that the viewer has any grants of and of
    /// those that the id is in use in, by turns, until either are all.
    fn kinds_granted_on_known(self, connection: &Connection, id: &str) -> Result<Vec<String>> {
        let doing = "looking for grants on an id";
        let next_of_viewer = "SELECT min(resource_kind) FROM acl_grants INDEXED BY acl_grants_principal \
                              WHERE principal_oid = ?1 AND scope = ?2 AND resource_kind > ?3";
        let next_of_id =
            "SELECT min(resource_kind) FROM acl_grants NOT INDEXED WHERE resource_id = ?1 AND resource_kind > ?2";
        let mut next_of_viewer = connection.prepare_cached(next_of_viewer).doing(doing)?;
        let mut next_of_id = connection.prepare_cached(next_of_id).doing(doing)?;
        let granted = |kind: &str| {
            let resource = Resource { kind: kind.to_owned(), id: id.to_owned() };
            allows(connection, &self.question(&resource, Scope::Read))
        };
        let mut scopes = ["full", "read"].into_iter();
        let (mut scope, mut last_of_viewer, mut last_of_id) = (scopes.next(), String::new(), String::new());
        let (mut of_viewer, mut of_id) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let Some(of) = scope else { return Ok(of_viewer.into_iter().collect()) };
            let parameters = (&*self.principal_oid, of, &last_of_viewer);
            match next_of_viewer.query_row(parameters, |row| row.get::<_, Option<String>>(0)).doing(doing)? {
                None => (scope, last_of_viewer) = (scopes.next(), String::new()),
                Some(kind) => {
                    if granted(&kind)? {
                        of_viewer.insert(kind.clone());
                    }
                    last_of_viewer = kind;
                }
            }
            match next_of_id.query_row((id, &last_of_id), |row| row.get::<_, Option<String>>(0)).doing(doing)? {
                None => return Ok(of_id.into_iter().collect()),
                Some(kind) => {
                    if granted(&kind)? {
                        of_id.insert(kind.clone());
                    }
                    last_of_id = kind;
                }
            }
        }
    }
}
