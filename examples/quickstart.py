"""The first ten lines: append a record to a ledger in a file, read it back, verify the chain."""

from nucleus import Record, RequestContext, create_ledger, sqlite_storage

alice = RequestContext.local("oid:onoal:user:alice")
with create_ledger("my-ledger", storage=sqlite_storage("ledger.db")) as ledger:
    entry = ledger.append(Record(id="r-1", stream="notes", payload={"n": 1}), context=alice)
    print(f"seq {entry.seq}, hash {entry.hash}")
    for version in ledger.history("r-1", context=alice):
        print(f"{version.record.id} at seq {version.seq}: {version.record.payload}")
    print(f"{len(ledger)} entries, valid: {ledger.verify().valid}")
