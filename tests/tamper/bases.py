"""The ledgers that are attacked, and what is true of them.

Each is made in memory first. Then everything that chance or the clock decided is put in its place and the chain is
linked anew, so that the same bytes are attacked in every run, but for the time of the file's creation.
"""

import json
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from blake3 import blake3
from tests.access.model import Model, ResourceName
from tests.tamper.image import State

from nucleus import ChainEntry, Ledger, ModuleConfig, Record, RequestContext, canonicalize, create_ledger
from nucleus import sqlite_storage as _sqlite_storage
from nucleus.access import AccessConfig, AclGrant

LEDGER_ID: Final = "tamper"
ADMIN: Final = RequestContext.local("oid:onoal:org:festival")
ISSUER: Final = RequestContext.local("oid:onoal:org:issuer")
MODULES: Final = tuple(ModuleConfig(name, "1.0.0") for name in ("proof", "asset", "token", "connect"))
SYMBOLS: Final = ("COIN", "PTS")

START_MS: Final = 1_760_000_000_000
LAST_SECOND: Final = 4_000_000_000
NOW_SECOND: Final = 1_800_000_000
"""No grant of a base ends between its making and a century from now, but for those that had ended long ago."""

_LONG: Final = "-" * 100
"""Makes keys long, so that few fit a page and B-trees have several levels."""


def person(number: int) -> RequestContext:
    """Return one of the people that own and hold things; their OIDs are long."""
    return RequestContext.local(f"oid:onoal:user:person-{number}{_LONG}")


@dataclass(frozen=True, eq=False)
class Base:
    """A ledger to attack.

    Attributes:
        name: what it is called.
        entries: its chain: whatever it answers must follow from that.
        erased: payload (canonical text) and salt of erased entries, by seq, as an old copy of the file has them.
        modules: whether it runs the built-in modules.
        model: who may do what; None without access control.
        states: its files: ``closed`` and ``logged`` (killed with content in the log) hold the whole chain, ``older``
            and ``older_logged`` the first part of it.
    """

    name: str
    entries: list[ChainEntry]
    erased: dict[int, tuple[str, bytes]]
    modules: bool
    model: Model | None
    states: dict[str, State] = field(default_factory=dict)

    def open(
        self,
        path: Path,
        *,
        read_only: bool = False,
        verify_on_open: bool = True,
        plain: bool = False,
        id: str | None = LEDGER_ID,
    ) -> Ledger:
        """Open a file as this ledger's; ``plain`` is without its modules and access control, as an auditor does."""
        return create_ledger(
            id,
            storage=_sqlite_storage(path, read_only=read_only, busy_timeout_ms=1_000),
            modules=MODULES if self.modules and not plain else (),
            access=AccessConfig(ADMIN.oid) if self.model and not plain else None,
            verify_on_open=verify_on_open,
        )


class Making:
    """A ledger in memory that is being filled, with its model where it has access control."""

    def __init__(self, ledger: Ledger, model: Model | None) -> None:
        self.ledger = ledger
        self.model = model
        self.erased: dict[int, str] = {}
        self.chance = random.Random(1)

    def append(self, id: str, stream: str, payload: Any, context: RequestContext, **more: Any) -> None:
        """Append one record."""
        self.ledger.append(Record(id, stream, payload, **more), context)
        if self.model:
            self.model.append(stream, id, payload, context.oid)

    def redact(self, seq: int, context: RequestContext = ADMIN) -> None:
        """Erase one entry, and keep what an old copy of the file would have kept."""
        entry = next(self.ledger.entries(ADMIN, start_seq=seq))
        self.erased[seq] = canonicalize(entry.record.payload).decode()
        self.ledger.redact(entry.hash, "asked for", context)
        if self.model:
            self.model.redact(seq, context.oid)

    def grant(
        self, resource: ResourceName, to: RequestContext, scope: Any, by: RequestContext, exp: int | None
    ) -> None:
        """Grant one scope."""
        self.ledger.access.grant(AclGrant(*resource, to.oid, scope, exp=exp), by)
        if self.model:
            self.model.grant([(resource, to.oid, scope, exp)], by.oid)

    def revoke(self, resource: ResourceName, of: RequestContext, scope: Any, by: RequestContext) -> None:
        """Revoke one scope."""
        self.ledger.access.revoke(AclGrant(*resource, of.oid, scope), by, allow_last_full=True)
        if self.model:
            self.model.revoke([(resource, of.oid, scope)], by.oid, allow_last_full=True)


# What is in them.


def _many_streams(making: Making) -> None:
    """Long stream names, ids with versions and in several streams, payloads over several pages, erased entries."""
    for n in range(420):
        stream = f"stream-{n % 23}{'=' * (n % 3 * 80)}"
        payload = {"n": n, "status": ("open", "shut", "lost")[n % 3], "text": "x" * (9_000 if n % 97 == 5 else n % 200)}
        making.append(f"r-{n % 150}", stream, payload, ADMIN, meta={"of": n} if n % 4 else None)
        if n % 60 == 59:
            making.redact(n - 20)


def _large_rows(making: Making) -> None:
    """A table of three levels: few rows on a page."""
    for n in range(1_650):
        making.append(f"r-{n // 2}", ("notes", "lists")[n % 2], {"n": n, "text": "y" * (1_250 + n % 50)}, ADMIN)


def _things(making: Making) -> None:
    """Assets, tokens, proofs and consents, their field indexes several levels deep, and a stream of plain notes."""
    ledger, chance = making.ledger, making.chance
    assets, tokens = ledger.modules.get("asset"), ledger.modules.get("token")
    proofs, grants = ledger.modules.get("proof"), ledger.modules.get("connect")
    for symbol in SYMBOLS:
        tokens.create(symbol, cap=10_000, issuer_oid=ISSUER.oid, context=ISSUER)
    for n in range(60):
        owner, other = person(n % 9), person((n + 1) % 9)
        assets.register(f"a-{n}", owner_oid=owner.oid, issuer_oid=ISSUER.oid, payload={"n": n}, context=owner)
        tokens.mint(SYMBOLS[n % 2], to_oid=owner.oid, amount=100, tx_id=f"m-{n}{_LONG[:20]}", context=ISSUER)
        if n % 2:
            assets.transfer(f"a-{n}", to_oid=other.oid, context=owner)
            amount = chance.randrange(1, 100)
            tokens.transfer(
                SYMBOLS[n % 2], from_oid=owner.oid, to_oid=other.oid, amount=amount, tx_id=f"t-{n}", context=owner
            )
        proofs.issue(f"p-{n}", subject_oid=owner.oid, issuer_oid=ISSUER.oid, type=f"t-{n % 4}", context=ISSUER)
        grants.grant(f"c-{n}", subject_oid=owner.oid, app_oid=other.oid, scopes=["mail"], context=owner)
        if n % 5 == 4:
            proofs.revoke(f"p-{n}", reason="asked for", context=ISSUER)
            grants.revoke(f"c-{n}", context=owner)
        making.append(f"a-{n}", "notes", {"n": n, "status": "open"}, owner)
    for n in range(0, 60, 7):
        tokens.burn(SYMBOLS[n % 2], from_oid=person(n % 9).oid, amount=1, context=ISSUER)


def _granted(making: Making) -> None:
    """Access control: creators, owners, explicit grants on resources and kinds, ended, expired and revoked ones."""
    for n in range(70):
        owner, other, third = person(n % 7), person((n + 1) % 7), person((n + 3) % 7)
        note = ("notes", f"n-{n}{'~' * (n % 5 * 40)}")
        making.append(note[1], "notes", {"n": n}, owner)
        making.grant(note, other, "read", owner, LAST_SECOND if n % 2 else None)
        making.grant(note, third, ("write", "full")[n % 2], owner, 1 if n % 6 == 0 else None)
        if n % 3 == 0:
            making.revoke(note, owner, "full", ADMIN)
        if n % 4 == 0:
            making.revoke(note, other, "read", ADMIN)
        if n % 5 == 0:
            state = {"action": "register", "owner_oid": owner.oid, "issuer_oid": ISSUER.oid}
            making.append(f"a-{n}", "assets", state, owner)
            making.append(f"a-{n}", "assets", {"action": "transfer", "owner_oid": other.oid}, owner)
        if n % 10 == 3:
            making.append(note[1], "notes", {"n": -n}, ADMIN)
            making.redact(len(making.ledger) - 1)
        if n % 20 == 7:
            making.grant(("notes", "*"), person(n % 5), "read", ADMIN, None)
        if n % 9 == 2:
            making.append(f"m-{n}", "notes", {"n": n}, third)
            making.revoke(("notes", f"m-{n}"), third, "full", ADMIN)


def _indexed(making: Making) -> None:
    """More entries than one run of the look-up indexes holds."""
    for start in range(0, 66_000, 4_000):
        numbers = range(start, min(start + 4_000, 66_000))
        making.ledger.append_batch(
            [Record(f"r-{n // 2}", f"s-{n % 3}", {"n": n}, START_MS + n) for n in numbers], ADMIN
        )


_FILLINGS: Final[dict[str, Callable[[Making], None]]] = {
    "streams": _many_streams,
    "rows": _large_rows,
    "modules": _things,
    "access": _granted,
    "indexed": _indexed,
}
NAMES: Final = tuple(_FILLINGS)


def make(name: str, directory: Path) -> Base:
    """Make one of the ledgers, and keep it in a directory."""
    modules, controlled = name in ("modules", "access"), name == "access"
    model = Model(ADMIN.oid, "anyone", NOW_SECOND) if controlled else None
    access = AccessConfig(ADMIN.oid) if controlled else None
    with create_ledger(LEDGER_ID, modules=MODULES if modules else (), access=access) as ledger:
        making = Making(ledger, model)
        _FILLINGS[name](making)
        entries = [ChainEntry.from_json(line) for line in _settled(ledger.entries(ADMIN), making.erased)]
    erased = {seq: (payload, _salt(seq)) for seq, payload in making.erased.items()}
    base = Base(name, entries, erased, modules, model)
    _write_states(base, directory)
    (directory / f"{name}.pickle").write_bytes(pickle.dumps(base))
    return base


@cache
def load(name: str, directory: Path) -> Base:
    """Return a ledger that :func:`make` kept in a directory."""
    base = pickle.loads((directory / f"{name}.pickle").read_bytes())
    assert isinstance(base, Base)
    return base


# Chance and clock taken out.


def _salt(seq: int) -> bytes:
    return random.Random(seq).randbytes(16)


def _derive(what: str, data: bytes) -> bytes:
    return blake3(data, derive_key_context=f"nucleus-ledger 2026-11-20 {what} v1").digest()


def _settled(entries: Iterator[ChainEntry], erased: dict[int, str]) -> Iterator[str]:
    """Yield the entries as lines, with salts and times that follow from their seqs, linked anew."""
    hashes: list[str] = []
    old_hashes: dict[str, str] = {}
    previous = _derive("ledger", LEDGER_ID.encode())
    for entry in entries:
        line = json.loads(entry.to_json())
        seq, record = line["seq"], line["record"]
        # Equal times, and times that go back.
        record["timestamp"] = START_MS + seq // 4 * 1_000 - (5_000 if seq % 11 == 0 else 0)
        record["meta"]["recorded_at"] = START_MS + seq
        if record["stream"] == "redactions":
            record["payload"]["hash"] = old_hashes[record["payload"]["hash"]]
            record["id"] = f"redaction:{record['payload']['hash']}"
        payload = erased[seq].encode() if line["redacted"] else canonicalize(record["payload"])
        line["payload_hash"] = _derive("payload", _salt(seq) + payload).hex()
        line["salt"] = None if line["redacted"] else _salt(seq).hex()
        header = {name: value for name, value in record.items() if name != "payload"}
        header |= {"format": 1, "payload_hash": line["payload_hash"], "seq": seq}
        line["prev_hash"] = hashes[-1] if hashes else None
        previous = _derive("entry", previous + canonicalize(header))
        old_hashes[line["hash"]] = line["hash"] = previous.hex()
        hashes.append(previous.hex())
        yield json.dumps(line)


def _write_states(base: Base, directory: Path) -> None:
    """Write the ledger to a file in two sessions, and keep the files at four moments."""
    path = directory / base.name / "ledger.db"
    path.parent.mkdir(parents=True)
    border = len(base.entries) * 3 // 5
    for names, until in ((("older_logged", "older"), border), (("logged", "closed"), len(base.entries))):
        with base.open(path) as ledger:
            for start in range(len(ledger), until, 4_000):
                ledger.import_entries(base.entries[start : min(start + 4_000, until)], ADMIN)
            base.states[names[0]] = State.read(path)
        base.states[names[1]] = State.read(path)
