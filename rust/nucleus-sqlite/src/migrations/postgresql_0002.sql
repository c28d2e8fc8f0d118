-- The table of grants, as sqlite_0002.sql declares it: the same names, columns, keys and indexes, one statement a
-- paragraph, to be run in one transaction. The names are unqualified: they go to the first schema of the search path,
-- and every ledger has a schema of its own.
--
-- Kinds, ids and OIDs are BYTEA, the UTF-8 of the text: equal and in order byte for byte, whatever the encoding and the
-- collation of the database, and with U+0000, which a stream name and a record id may hold and TEXT may not. The
-- remaining texts are written by the engine alone, without U+0000; COLLATE "C" compares them by bytes as well.
--
-- The key at its longest: a kind of 255 bytes, an id of 1024, two OIDs of 255 and two words of 7 make 1,803 bytes; an
-- index row of PostgreSQL holds 2,704, its header, lengths and padding (less than 64) included.
CREATE TABLE acl_grants(
  resource_kind BYTEA NOT NULL,
  resource_id BYTEA NOT NULL,
  principal_oid BYTEA NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  source TEXT COLLATE "C" NOT NULL,
  granted_by BYTEA NOT NULL,
  exp BIGINT,
  created_at BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY(resource_id, resource_kind, principal_oid, scope, source, granted_by)
);

CREATE INDEX acl_grants_principal ON acl_grants(principal_oid, scope, resource_kind, resource_id, exp);

CREATE INDEX acl_grants_whole_kind ON acl_grants(principal_oid) WHERE resource_id = '*';

CREATE INDEX acl_grants_exp ON acl_grants(exp) WHERE exp IS NOT NULL;

CREATE TABLE acl_projection(
  id BIGINT PRIMARY KEY CHECK(id = 0),
  covered_below BIGINT NOT NULL,
  kinds TEXT COLLATE "C" NOT NULL
);
