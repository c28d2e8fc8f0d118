"""A process that is killed while it appends and grants: what stands in the table is what stands in the chain."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.access.conftest import ADMIN, ALICE, BOB, access_of

from nucleus import create_ledger, sqlite_storage
from nucleus.access import AccessConfig, ResourcePredicate

_WRITER = f"""
import sys
from nucleus import RequestContext, create_ledger, sqlite_storage
from nucleus.access import AccessConfig, AclGrant

alice, bob = RequestContext.local("{ALICE.oid}"), "{BOB.oid}"
ledger = create_ledger("killed", storage=sqlite_storage(sys.argv[1]), access=AccessConfig("{ADMIN.oid}"))
for number in range(1_000_000):
    name = f"r-{{sys.argv[2]}}-{{number}}"
    ledger.append_batch([{{"id": name, "stream": "notes", "payload": {{}}}}] * 20, context=alice)
    grant = AclGrant("notes", name, bob, "read")
    ledger.access.grant(grant, context=alice)
    if number % 2:
        ledger.access.revoke(grant, context=alice)
    print(name, number % 2, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 4, 9, 30])
def test_killed_while_it_grants(tmp_path: Path, lines: int) -> None:
    database = tmp_path / "ledger.db"
    acknowledged: list[tuple[str, bool]] = []
    for attempt in range(3):
        arguments = [sys.executable, "-c", _WRITER, str(database), str(attempt)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                name, odd = writer.stdout.readline().split()
                acknowledged.append((name, odd == "1"))
            writer.kill()
        with create_ledger(storage=sqlite_storage(database), access=AccessConfig(ADMIN.oid)) as ledger:
            assert ledger.verify(deep=True).valid
            for name, revoked in acknowledged:
                assert access_of(ledger).check(ALICE.oid, "full", ResourcePredicate("notes", name))
                assert access_of(ledger).check(BOB.oid, "read", ResourcePredicate("notes", name)) is not revoked
