CREATE TABLE ledger_info(
  id TEXT NOT NULL,
  format INTEGER NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE entries(
  seq INTEGER PRIMARY KEY,
  format INTEGER NOT NULL,
  hash BLOB NOT NULL,
  prev_hash BLOB,
  record_id TEXT NOT NULL,
  stream TEXT NOT NULL,
  timestamp INTEGER NOT NULL,
  payload TEXT,
  salt BLOB,
  payload_hash BLOB,
  meta TEXT
) STRICT;

CREATE INDEX entries_stream ON entries(stream);

CREATE INDEX entries_timestamp ON entries(timestamp);

CREATE TABLE hash_index(
  prefix INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(prefix, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE id_index(
  prefix INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(prefix, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ledger_info_no_update BEFORE UPDATE ON ledger_info BEGIN
  SELECT RAISE(ABORT, 'a ledger keeps its id');
END;

CREATE TRIGGER ledger_info_no_delete BEFORE DELETE ON ledger_info BEGIN
  SELECT RAISE(ABORT, 'a ledger keeps its id');
END;

CREATE TRIGGER entries_link BEFORE INSERT ON entries
WHEN (NEW.prev_hash IS NULL) <> (NEW.seq = 0)
  OR NEW.prev_hash IS NOT (SELECT hash FROM entries WHERE seq = NEW.seq - 1) BEGIN
  SELECT RAISE(ABORT, 'the entry does not continue the chain');
END;

CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN
  SELECT RAISE(ABORT, 'entries are append-only');
END;

CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
WHEN NOT (OLD.payload IS NOT NULL AND NEW.payload IS NULL AND NEW.salt IS NULL AND length(NEW.payload_hash) = 32
  AND NEW.seq = OLD.seq AND NEW.format = OLD.format AND NEW.hash = OLD.hash AND NEW.prev_hash IS OLD.prev_hash
  AND NEW.record_id = OLD.record_id AND NEW.stream = OLD.stream AND NEW.timestamp = OLD.timestamp
  AND NEW.meta IS OLD.meta) BEGIN
  SELECT RAISE(ABORT, 'entries are append-only');
END;

CREATE VIEW ledger AS
SELECT seq, lower(hex(hash)) AS hash, lower(hex(prev_hash)) AS prev_hash, record_id, stream, timestamp,
  payload IS NULL AS redacted,
  '{"id":' || json_quote(record_id) || iif(meta IS NULL, '', ',"meta":' || meta)
  || ',"payload":' || coalesce(payload, 'null') || ',"stream":' || json_quote(stream)
  || ',"timestamp":' || timestamp || '}' AS serialized
FROM entries;
