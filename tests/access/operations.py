"""Random operations, each done both to a ledger and to the model of it."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.access.conftest import (
    ADMIN,
    ALICE,
    ALICE_DOT,
    APP,
    BOB,
    CAROL,
    ISSUER,
    STRANGER,
    UPPER_ALICE,
    access_of,
)
from tests.access.model import IRREMOVABLE, OWN_STREAMS, SCOPES, Model, Outcome, OutcomeError, ResourceName

from nucleus import AccessDeniedError, ConflictError, InvalidRecordError, Ledger, Record, RecordRefusedError
from nucleus import RequestContext as Context
from nucleus.access import AclGrant, Scope

ACTIVE = (ALICE, BOB, CAROL, UPPER_ALICE, ALICE_DOT, ISSUER, APP)
# The stranger asks for everything and is granted nothing by anybody; what they create is theirs.
REQUESTERS = (ADMIN, *ACTIVE, STRANGER)

PLAIN_STREAMS = ("notes", "lists", "asset")
PLAIN_IDS = ("n-1", "N-1", "n-1 ", "n-%", "n-_", "**", "é", "a-1", *(f"n-{n}" for n in range(2, 12)))
MODULE_IDS = {
    "assets": tuple(f"a-{n}" for n in range(1, 9)),
    "proofs": tuple(f"p-{n}" for n in range(1, 13)),
    "tokens": tuple(f"T{n}" for n in range(1, 5)),
    "connect_grants": tuple(f"c-{n}" for n in range(1, 9)),
}
RESOURCE_IDS: dict[str, tuple[str, ...]] = {
    "notes": PLAIN_IDS,
    "lists": PLAIN_IDS,
    "asset": MODULE_IDS["assets"],
    "proof": MODULE_IDS["proofs"],
    "token": MODULE_IDS["tokens"],
    "connect_grant": MODULE_IDS["connect_grants"],
}
RESOURCES: tuple[ResourceName, ...] = tuple(
    (kind, record_id) for kind, ids in RESOURCE_IDS.items() for record_id in (*ids, "*", "missing")
)

_ERRORS: dict[type[Exception], Outcome] = {
    AccessDeniedError: "denied",
    ConflictError: "conflict",
    RecordRefusedError: "refused",
    InvalidRecordError: "invalid",
}

AppendedRecord = tuple[str, str, dict[str, Any]]
GrantRequest = tuple[ResourceName, str, Scope, int | None]


def outcome_of(call: Callable[[], object]) -> Outcome:
    """Call, and tell what came of it; errors that no operation may raise come through."""
    try:
        call()
    except OutcomeError as error:
        return error.outcome
    except tuple(_ERRORS) as error:
        return _ERRORS[type(error)]
    return "done"


@dataclass(frozen=True)
class Operation:
    """One operation: what it is, for messages, and how it is done to either side."""

    says: str
    on_ledger: Callable[[Ledger], object]
    on_model: Callable[[Model], object]


class Operations:
    """An endless stream of operations, the same for the same seed. It looks at the model only to find what exists."""

    def __init__(self, seed: int, model: Model, hashes: list[str]) -> None:
        self._random = random.Random(seed)
        self._model = model
        self._hashes = hashes
        self._numbers = iter(range(10**9))

    def __iter__(self) -> Iterator[Operation]:
        kinds: dict[Callable[[], Operation], int] = {
            self._append_plain: 6,
            self._append_ruled: 16,
            self._append_unique: 2,
            self._append_batch: 3,
            self._grant: 16,
            self._revoke: 14,
            self._redact: 5,
        }
        while True:
            (make,) = self._random.choices(list(kinds), list(kinds.values()))
            yield make()

    def _append_plain(self) -> Operation:
        stream, record_id, payload = self._plain_record()
        by = self._requester(stream, record_id)
        return Operation(
            f"{by.oid} appends {stream} {record_id!r}",
            lambda ledger: ledger.append(Record(record_id, stream, payload, timestamp=1), context=by),
            lambda model: model.append(stream, record_id, payload, by.oid),
        )

    def _append_ruled(self) -> Operation:
        stream, record_id, payload = self._ruled_record()
        by = self._requester(stream, record_id)
        return Operation(
            f"{by.oid} appends {stream} {record_id!r} {payload}",
            lambda ledger: ledger.append(Record(record_id, stream, payload), context=by),
            lambda model: model.append(stream, record_id, payload, by.oid),
        )

    def _append_unique(self) -> Operation:
        stream, record_id, payload = self._plain_record()
        by = self._requester(stream, record_id)
        return Operation(
            f"{by.oid} appends uniquely {stream} {record_id!r} {payload}",
            lambda ledger: ledger.append(Record(record_id, stream, payload, timestamp=1), context=by, unique=True).seq,
            lambda model: model.append_unique(stream, record_id, payload, by.oid),
        )

    def _append_batch(self) -> Operation:
        number = self._random.randint(1, 4)
        records = [self._random.choice([self._plain_record, self._ruled_record])() for _ in range(number)]
        by = self._requester(*records[0][:2])
        return Operation(
            f"{by.oid} appends {records}",
            lambda ledger: ledger.append_batch(
                [Record(record_id, stream, payload, timestamp=1) for stream, record_id, payload in records], context=by
            ),
            lambda model: model.append_batch(records, by.oid),
        )

    def _grant(self) -> Operation:
        by, resource = self._governed()
        requests: list[GrantRequest] = [
            (resource if n == 0 else self._resource(), self._holder(), self._random.choice(SCOPES), self._exp())
            for n in range(self._random.choice([1, 1, 1, 2, 3]))
        ]
        return Operation(
            f"{by.oid} grants {requests}",
            lambda ledger: access_of(ledger).grant(
                [AclGrant(*named, principal, scope, exp=exp) for named, principal, scope, exp in requests], context=by
            ),
            lambda model: model.grant(requests, by.oid),
        )

    def _revoke(self) -> Operation:
        by, resource = self._governed()
        granted = [(grant.principal, grant.scope) for grant in self._model.grants.get(resource, ())]
        granted.append((self._holder(), self._random.choice(SCOPES)))
        requests = [(resource, *self._random.choice(granted)) for _ in range(self._random.choice([1, 1, 1, 2, 3]))]
        allow_last_full = self._random.random() < 0.2
        return Operation(
            f"{by.oid} revokes {requests} {allow_last_full=}",
            lambda ledger: access_of(ledger).revoke(
                [AclGrant(*named, principal, scope) for named, principal, scope in requests],
                context=by,
                allow_last_full=allow_last_full,
            ),
            lambda model: model.revoke(requests, by.oid, allow_last_full=allow_last_full),
        )

    def _redact(self) -> Operation:
        erasable = [entry for entry in self._model.entries if entry.stream not in IRREMOVABLE | OWN_STREAMS]
        if not erasable:
            return self._append_plain()
        entry = self._random.choice(erasable if self._random.random() < 0.8 else self._model.entries)
        seq, entry_hash = entry.seq, self._hashes[entry.seq]
        by = self._requester(entry.stream, entry.id)
        return Operation(
            f"{by.oid} redacts entry {seq}",
            lambda ledger: ledger.redact(entry_hash, reason="asked for", context=by),
            lambda model: model.redact(seq, by.oid),
        )

    # What they are made of.

    def _requester(self, stream: str, record_id: str) -> Context:
        """Anybody; more often than not somebody who was granted something on the resource, which may have ended."""
        resource = self._model.resource_of(stream, record_id)
        granted = [] if resource is None else self._model.grants.get(resource, [])
        if not granted or self._random.random() < 0.4:
            return self._random.choice(REQUESTERS)
        return Context.local(self._random.choice(granted).principal)

    def _governed(self) -> tuple[Context, ResourceName]:
        """Somebody and a resource: more often than not one that they were granted `full` on, which may have ended."""
        fulls = [grant for grants in self._model.grants.values() for grant in grants if grant.scope == "full"]
        if not fulls or self._random.random() < 0.4:
            return self._random.choice(REQUESTERS), self._resource()
        full = self._random.choice(fulls)
        return Context.local(full.principal), (full.kind, full.id)

    def _resource(self) -> ResourceName:
        kind = self._random.choice(list(RESOURCE_IDS))
        # Now and then the whole kind: then much of the rest is allowed.
        return kind, "*" if self._random.random() < 0.05 else self._random.choice(RESOURCE_IDS[kind])

    def _holder(self) -> str:
        return self._random.choice(ACTIVE).oid

    def _exp(self) -> int | None:
        now = self._model.now
        return self._random.choice([None, None, None, now + 3_600, now + 7_200, now - 1, 5])

    def _plain_record(self) -> AppendedRecord:
        record_id = "*" if self._random.random() < 0.02 else self._random.choice(PLAIN_IDS)
        return self._random.choice(PLAIN_STREAMS), record_id, {"n": self._random.randrange(2)}

    def _ruled_record(self) -> AppendedRecord:
        stream = self._random.choice(["assets", "assets", "proofs", "tokens", "connect_grants"])
        record_id = self._random.choice(MODULE_IDS[stream])
        later = (stream, record_id) in self._model.states and self._random.random() < 0.9
        return stream, record_id, self._later(stream, record_id) if later else self._first(stream, record_id)

    def _first(self, stream: str, record_id: str) -> dict[str, Any]:
        match stream:
            case "assets":
                issuer = {"issuer_oid": self._holder()} if self._random.random() < 0.5 else {}
                return {"action": "register", "owner_oid": self._holder(), **issuer}
            case "proofs":
                return {"action": "issue", "issuer_oid": self._holder(), "subject_oid": self._holder()}
            case "tokens":
                return {"action": "create", "symbol": record_id, "decimals": 0, "issuer_oid": self._holder()}
            case _:
                exp = self._exp()
                own = {"action": "grant", "subject_oid": self._holder(), "app_oid": self._holder(), "scopes": ["x"]}
                return own if exp is None else {**own, "exp": exp}

    def _later(self, stream: str, record_id: str) -> dict[str, Any]:
        number = next(self._numbers)
        match stream:
            case "assets":
                action = self._random.choices(["transfer", "update", "retire"], [8, 3, 1])[0]
                by_action: dict[str, dict[str, Any]] = {
                    "transfer": {"owner_oid": self._holder()},
                    "update": {"n": number},
                    "retire": {},
                }
                return {"action": action, **by_action[action]}
            case "tokens":
                return {
                    "action": "mint",
                    "symbol": record_id,
                    "to_oid": self._holder(),
                    "amount": "1",
                    "tx_id": f"tx-{number}",
                }
            case _:
                return {"action": "revoke", "reason": "over"}
