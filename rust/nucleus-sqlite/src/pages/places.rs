//! Where to look for what a viewer sees, so that a page costs about the same whether they see little or much.
//!
//! For each kind of resource there are two ways: from the few resources that they were granted, or through all entries of
//! the kind's streams. The wrong one is slower by orders of magnitude, so the number of their grants decides, kind by kind.

use std::sync::Arc;

use nucleus_core::{ACL_GRANTS_STREAM, REDACTION_ID_PREFIX, REDACTIONS_STREAM};
use nucleus_engine::access::routes::{self, LEAST_FEW, MOST_FEW};
use nucleus_engine::model::{Resource, Result, WHOLE_KIND, record_id_of};
use rusqlite::Connection;

use crate::connect::Doing;
use crate::pages::versions::Versions;
use crate::pages::visible::{Viewer, Whole};
use crate::rows::hash_at;

/// More streams are not told apart: each is a part of a statement.
const MOST_PARTS: usize = 16;
/// More kinds are not told apart.
const MOST_KINDS: usize = 1_024;

/// Where everything is that a viewer sees, with much beside it: each row found there must still meet the condition.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Record ids.
    pub(crate) ids: Vec<String>,
    /// Streams.
    pub(crate) streams: Vec<String>,
}

impl Viewer<'_> {
    /// Where to look, in one stream or in all. None where that would be in too many places: then the chain is gone through.
    ///
    /// See [`routes::few`] for what is `exhaustive` and what is `beside_an_index`.
    pub(crate) fn places(
        self,
        versions: &mut Versions<'_>,
        stream: Option<&str>,
        whole: &Whole,
        exhaustive: bool,
        beside_an_index: bool,
    ) -> Result<Option<Places>> {
        let few = routes::few(versions.length(), exhaustive, beside_an_index);
        let mut places = Places { ids: Vec::new(), streams: whole.streams.clone() };
        match stream {
            None if !self.all_places(versions, few, &mut places)? => return Ok(None),
            None => {}
            Some(stream) => {
                if let Some(kind) = self.kinds.kind_of(stream) {
                    self.places_of_kind(versions, kind, &[stream], few, &mut places)?;
                }
            }
        }
        for own in [ACL_GRANTS_STREAM, REDACTIONS_STREAM] {
            if stream.is_none_or(|stream| stream == own) {
                self.own_places(versions, own, whole, few, &mut places)?;
            }
        }
        places.ids.sort_unstable();
        places.ids.dedup();
        places.streams.sort_unstable();
        places.streams.dedup();
        Ok(Some(places).filter(|places| places.streams.len() <= MOST_PARTS))
    }

    /// Adds where to look in the streams of all kinds; false where that would be in too many places.
    fn all_places(self, versions: &Versions<'_>, few: u64, places: &mut Places) -> Result<bool> {
        let seeing = &["full", "read"];
        let ids = |resources: Vec<Resource>| resources.into_iter().map(|resource| resource.id);
        // All together first: others may have spread their grants over any number of kinds.
        if let Some(resources) = self.resources(versions, None, seeing, few)? {
            places.ids.extend(ids(resources));
            return Ok(true);
        }
        if let Some(kinds) = self.kinds_seen(versions.connection)? {
            let mut by_kind = Places { ids: Vec::new(), streams: places.streams.clone() };
            for kind in &kinds {
                let streams = self.kinds.streams_of(kind);
                // Grants that others made up in kinds of their own leave a few to each kind.
                let left = few.saturating_sub(by_kind.ids.len() as u64).max(LEAST_FEW);
                self.places_of_kind(versions, kind, &streams, left, &mut by_kind)?;
            }
            if by_kind.streams.len() <= MOST_PARTS {
                *places = by_kind;
                return Ok(true);
            }
        }
        let resources = self.resources(versions, None, seeing, few.max(MOST_FEW))?;
        let found = resources.is_some();
        places.ids.extend(resources.into_iter().flat_map(ids));
        Ok(found)
    }

    /// Adds where to look for resources of one kind in its streams.
    fn places_of_kind(
        self,
        versions: &Versions<'_>,
        kind: &str,
        streams: &[&str],
        few: u64,
        places: &mut Places,
    ) -> Result<()> {
        match self.resources(versions, Some(kind), &["full", "read"], few)? {
            Some(resources) => places.ids.extend(resources.into_iter().map(|resource| resource.id)),
            None => places.streams.extend(streams.iter().map(|stream| (*stream).to_owned())),
        }
        Ok(())
    }

    /// Where to look in a stream of the engine's own, which is about all that the viewer has `full` on.
    fn own_places(
        self,
        versions: &mut Versions<'_>,
        own: &str,
        whole: &Whole,
        few: u64,
        places: &mut Places,
    ) -> Result<()> {
        let resources = if whole.full { None } else { self.resources(versions, None, &["full"], few)? };
        let Some(resources) = resources else {
            places.streams.push(own.to_owned());
            return Ok(());
        };
        if resources.is_empty() {
            return Ok(());
        }
        if !holds_more_than(versions.connection, own, resources.len())? {
            places.streams.push(own.to_owned());
        } else if own == ACL_GRANTS_STREAM {
            places.ids.extend(resources.iter().map(record_id_of));
        } else {
            for resource in &resources {
                for seq in versions.redacted_seqs(&resource.id)? {
                    let hash = hash_at(versions.connection, seq as u64)?;
                    places.ids.extend(hash.map(|hash| format!("{REDACTION_ID_PREFIX}{hash}")));
                }
            }
        }
        Ok(())
    }

    /// Whether they have more grants than this, of whatever scope.
    pub(crate) fn has_more_grants_than(self, versions: &Versions<'_>, few: u64) -> Result<bool> {
        let many = &versions.storage.many_grants;
        let counted = (Arc::clone(&self.principal_oid), None, None);
        if many.exceed(&counted, few) {
            return Ok(true);
        }
        let doing = "counting a principal's grants";
        let sql = "SELECT 1 FROM acl_grants INDEXED BY acl_grants_principal WHERE principal_oid = ?1 LIMIT 1 OFFSET ?2";
        let mut statement = versions.connection.prepare_cached(sql).doing(doing)?;
        let more = statement.exists((&*self.principal_oid, few as i64)).doing(doing)?;
        if more {
            many.remember(counted, few);
        }
        Ok(more)
    }

    /// The kinds of which something may be seen; None where they are many.
    fn kinds_seen(self, connection: &Connection) -> Result<Option<Vec<String>>> {
        let doing = "reading the kinds of a principal's grants";
        // One seek for each kind, however many grants there are of it.
        let sql = "SELECT resource_kind FROM acl_grants INDEXED BY acl_grants_principal \
                   WHERE principal_oid = ?1 AND scope = ?2 AND resource_kind > ?3 ORDER BY resource_kind LIMIT 1";
        let mut statement = connection.prepare_cached(sql).doing(doing)?;
        let mut kinds: Vec<String> = Vec::new();
        for scope in ["full", "read"] {
            let mut last = String::new();
            loop {
                let mut rows = statement.query((&*self.principal_oid, scope, &last)).doing(doing)?;
                let Some(row) = rows.next().doing(doing)? else {
                    break;
                };
                last = row.get(0).doing(doing)?;
                kinds.push(last.clone());
                if kinds.len() > 2 * MOST_KINDS {
                    return Ok(None);
                }
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        Ok(Some(kinds).filter(|kinds| kinds.len() <= MOST_KINDS))
    }

    /// The resources on which the viewer has one of these scopes, of one kind or of all; None where they are not few.
    fn resources(
        self,
        versions: &Versions<'_>,
        kind: Option<&str>,
        scopes: &[&'static str],
        few: u64,
    ) -> Result<Option<Vec<Resource>>> {
        let (connection, many) = (versions.connection, &versions.storage.many_grants);
        let counted = |scope| (Arc::clone(&self.principal_oid), Some(scope), kind.map(str::to_owned));
        if scopes.iter().any(|scope| many.exceed(&counted(*scope), few)) {
            return Ok(None);
        }
        let doing = "reading a principal's grants";
        let of_kind = if kind.is_some() { " AND resource_kind = ?3" } else { " AND ?3 IS NULL" };
        let from =
            format!("FROM acl_grants INDEXED BY acl_grants_principal WHERE principal_oid = ?1 AND scope = ?2{of_kind}");
        let mut count = connection.prepare_cached(&format!("SELECT 1 {from} LIMIT 1 OFFSET ?4")).doing(doing)?;
        let sql = format!("SELECT resource_kind, resource_id {from} AND (exp IS NULL OR exp > ?4)");
        let mut statement = connection.prepare_cached(&sql).doing(doing)?;
        let mut resources = Vec::new();
        for scope in scopes {
            let principal = &*self.principal_oid;
            if count.exists((principal, scope, kind, few as i64)).doing(doing)? {
                many.remember(counted(scope), few);
                return Ok(None);
            }
            let mut rows = statement.query((principal, scope, kind, self.now_s)).doing(doing)?;
            while let Some(row) = rows.next().doing(doing)? {
                let resource = Resource { kind: row.get(0).doing(doing)?, id: row.get(1).doing(doing)? };
                // What is granted of a whole kind is among the streams.
                if resource.id != WHOLE_KIND && resources.last() != Some(&resource) {
                    resources.push(resource);
                }
            }
        }
        Ok(Some(resources))
    }
}

pub(crate) fn holds_more_than(connection: &Connection, stream: &str, entries: usize) -> Result<bool> {
    let doing = "counting the entries of a stream";
    let sql = "SELECT 1 FROM entries INDEXED BY entries_stream WHERE stream = ?1 LIMIT 1 OFFSET ?2";
    connection.prepare_cached(sql).doing(doing)?.exists((stream, entries as i64)).doing(doing)
}
