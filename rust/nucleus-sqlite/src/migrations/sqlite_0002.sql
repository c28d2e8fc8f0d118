CREATE TABLE acl_grants(
  resource_kind TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  principal_oid TEXT NOT NULL,
  scope TEXT NOT NULL,
  source TEXT NOT NULL,
  granted_by TEXT NOT NULL,
  exp INTEGER,
  created_at INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(resource_id, resource_kind, principal_oid, scope, source, granted_by)
) STRICT, WITHOUT ROWID;

CREATE INDEX acl_grants_principal ON acl_grants(principal_oid, scope, resource_kind, resource_id, exp);

CREATE INDEX acl_grants_whole_kind ON acl_grants(principal_oid) WHERE resource_id = '*';

CREATE INDEX acl_grants_exp ON acl_grants(exp) WHERE exp IS NOT NULL;

CREATE TABLE acl_projection(
  id INTEGER PRIMARY KEY CHECK(id = 0),
  covered_below INTEGER NOT NULL,
  kinds TEXT NOT NULL
) STRICT;
