"""What an installed wheel must do without the repository: append, close, open again, verify, refuse a changed file."""

import sys
import tempfile
from pathlib import Path

import nucleus
from nucleus import Record, RequestContext, create_ledger, sqlite_storage

alice = RequestContext.local("oid:onoal:user:alice")
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "ledger.db"
    with create_ledger(id="smoke", storage=sqlite_storage(path)) as ledger:
        entry = ledger.append(Record(id="r-1", stream="notes", payload={"text": "smoke test"}), context=alice)
    with create_ledger(id="smoke", storage=sqlite_storage(path)) as ledger:
        if ledger.get(entry.hash, context=alice) != entry or not ledger.verify().valid:
            sys.exit("the ledger does not read back")
    path.write_bytes(path.read_bytes().replace(b"smoke test", b"smoke tset"))
    try:
        create_ledger(id="smoke", storage=sqlite_storage(path))
    except nucleus.IntegrityError as error:
        print(f"nucleus {nucleus.__version__}: a changed byte was refused: {error}")
    else:
        sys.exit("a changed byte was not found")
