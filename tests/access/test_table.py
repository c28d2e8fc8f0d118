"""Every action by every kind of principal: one table, to be read beside the promise of access control.

Each row is an action on one of five resources, each column a principal; the legend stands with the table.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.access.conftest import ADMIN, BUILT_IN, access_of, open_ledger

from nucleus import (
    AccessDeniedError,
    ChainEntry,
    ConflictError,
    Ledger,
    QueryFilters,
    Record,
    RecordRefusedError,
    RequestContext,
    create_ledger,
    sqlite_storage,
)
from nucleus.access import AclGrant, ResourceFilters, ResourcePredicate

CREATOR = RequestContext.local("oid:onoal:user:creator")
OWNER = RequestContext.local("oid:onoal:user:owner")
FORMER = RequestContext.local("oid:onoal:user:former-owner")
ISSUER = RequestContext.local("oid:onoal:org:issuer")
SUBJECT = RequestContext.local("oid:onoal:user:subject")
APP = RequestContext.local("oid:onoal:app:kiosk")
READER = RequestContext.local("oid:onoal:user:reader")
WRITER = RequestContext.local("oid:onoal:user:writer")
HOLDER = RequestContext.local("oid:onoal:user:holder")
EXPIRED = RequestContext.local("oid:onoal:user:expired")
REVOKED = RequestContext.local("oid:onoal:user:revoked")
KIND_READER = RequestContext.local("oid:onoal:user:kind-reader")
KIND_WRITER = RequestContext.local("oid:onoal:user:kind-writer")
KIND_HOLDER = RequestContext.local("oid:onoal:user:kind-holder")
STRANGER = RequestContext.local("oid:onoal:user:stranger")
NAMESAKE = RequestContext.local("oid:onoal:user:Holder")
# Nobody's column: who gets what the principals of the table grant.
THIRD = RequestContext.local("oid:onoal:user:third")

PRINCIPALS: dict[str, RequestContext] = {
    "admin": ADMIN,  # the ledger's administrator
    "creator": CREATOR,  # appended the first entry of all five resources
    "owner": OWNER,  # of the asset, after a transfer
    "former": FORMER,  # owned the asset before the transfer
    "issuer": ISSUER,  # of the asset, the proof and the token
    "subject": SUBJECT,  # of the proof and of the connect grant
    "app": APP,  # the application of the connect grant, which has not expired
    "reader": READER,  # was granted `read` on all five
    "writer": WRITER,  # was granted `write` on all five
    "holder": HOLDER,  # was granted `full` on all five
    "expired": EXPIRED,  # was granted `full` on all five, until a time that is over
    "revoked": REVOKED,  # was granted `full` on all five, and it was revoked
    "k-reader": KIND_READER,  # was granted `read` on all five kinds
    "k-writer": KIND_WRITER,  # was granted `write` on all five kinds
    "k-holder": KIND_HOLDER,  # was granted `full` on all five kinds
    "stranger": STRANGER,  # was granted nothing by anybody
    "namesake": NAMESAKE,  # has the OID of the holder but for the case of one letter
}

# Legend:
#   +  done, or shown
#   -  AccessDeniedError, and nothing is written
#   .  not seen: the answer is that for a resource that does not exist
#   m  access control lets it pass, the module refuses it
#   c  ConflictError that tells neither hash nor seq, as for an entry that does not exist
#   b  done blindly: it is allowed, and the entry is not shown
TABLE = """
                          admin creator owner former issuer subject app reader writer holder expired revoked k-reader k-writer k-holder stranger namesake
note: append version        +      +      -     -      -       -     -     -      +      +       -       -       -        +        +        -        -
note: append batch          +      +      -     -      -       -     -     -      +      +       -       -       -        +        +        -        -
note: append unique         +      +      -     -      -       -     -     -      c      +       -       -       -        c        +        -        -
note: create another        +      +      +     +      +       +     +     +      +      +       +       +       +        +        +        +        +
note: create if granted     +      -      -     -      -       -     -     -      -      -       -       -       -        +        +        -        -
note: get                   +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: get_by_id             +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: history               +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: query                 +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: query latest only     +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: query with total      +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: entries               +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: access.list           +      +      .     .      .       .     .     +      .      +       .       .       +        .        +        .        .
note: access.require read   +      +      -     -      -       -     -     +      -      +       -       -       +        -        +        -        -
note: access.require write  +      +      -     -      -       -     -     -      b      +       -       -       -        b        +        -        -
note: access.require full   +      +      -     -      -       -     -     -      -      +       -       -       -        -        +        -        -
note: redact                +      +      c     c      c       c     c     -      c      +       c       c       -        c        +        c        c
note: grant                 +      +      -     -      -       -     -     -      -      +       -       -       -        -        +        -        -
note: revoke                +      +      -     -      -       -     -     -      -      +       -       -       -        -        +        -        -
note: acl_grants entries    +      +      .     .      .       .     .     .      .      +       .       .       .        .        +        .        .
note: redactions entries    +      +      .     .      .       .     .     .      .      +       .       .       .        .        +        .        .
note: access.explain        +      +      -     -      -       -     -     -      -      +       -       -       -        -        +        -        -
note: access.history        +      +      -     -      -       -     -     -      -      +       -       -       -        -        +        -        -
note: access.grants_on      +      +      -     -      -       -     -     -      -      +       -       -       -        -        +        -        -

asset: update               m      m      +     -      +       -     -     -      m      m       -       -       -        m        m        -        -
asset: transfer             m      m      +     -      m       -     -     -      m      m       -       -       -        m        m        -        -
asset: get                  +      +      +     .      +       .     .     +      .      +       .       .       +        .        +        .        .
asset: owner                +      +      +     -      +       -     -     +      -      +       -       -       +        -        +        -        -
asset: history              +      +      +     -      +       -     -     +      -      +       -       -       +        -        +        -        -
asset: list                 +      +      +     .      +       .     .     +      .      +       .       .       +        .        +        .        .
asset: redact               m      m      m     c      m       c     c     -      c      m       c       c       -        c        m        c        c
asset: grant                +      +      +     -      +       -     -     -      -      +       -       -       -        -        +        -        -
asset: revoke               +      +      +     -      +       -     -     -      -      +       -       -       -        -        +        -        -
asset: acl_grants entries   +      +      +     .      +       .     .     .      .      +       .       .       .        .        +        .        .
asset: access.history       +      +      +     -      +       -     -     -      -      +       -       -       -        -        +        -        -

proof: revoke it            m      m      -     -      +       -     -     -      m      m       -       -       -        m        m        -        -
proof: get                  +      +      .     .      +       +     .     +      .      +       .       .       +        .        +        .        .
proof: status               +      +      -     -      +       +     -     +      -      +       -       -       +        -        +        -        -
proof: list                 +      +      .     .      +       +     .     +      .      +       .       .       +        .        +        .        .
proof: redact               +      +      c     c      +       -     c     -      c      +       c       c       -        c        +        c        c
proof: grant                +      +      -     -      +       -     -     -      -      +       -       -       -        -        +        -        -
proof: acl_grants entries   +      +      .     .      +       .     .     .      .      +       .       .       .        .        +        .        .

token: mint                 m      m      -     -      +       -     -     -      m      m       -       -       -        m        m        -        -
token: get                  +      +      .     .      +       .     .     +      .      +       .       .       +        .        +        .        .
token: balance              +      +      -     -      +       -     -     +      -      +       -       -       +        -        +        -        -
token: holders              +      +      -     -      +       -     -     +      -      +       -       -       +        -        +        -        -
token: grant                +      +      -     -      +       -     -     -      -      +       -       -       -        -        +        -        -

connect: revoke it          m      m      -     -      -       +     -     -      m      m       -       -       -        m        m        -        -
connect: get                +      +      .     .      .       +     +     +      .      +       .       .       +        .        +        .        .
connect: check              +      +      -     -      -       +     +     +      -      +       -       -       +        -        +        -        -
connect: list               +      +      .     .      .       +     +     +      .      +       .       .       +        .        +        .        .
connect: redact             +      +      c     c      c       +     -     -      c      +       c       c       -        c        +        c        c
connect: grant              +      +      -     -      -       +     -     -      -      +       -       -       -        -        +        -        -

ledger: export              +      -      -     -      -       -     -     -      -      -       -       -       -        -        -        -        -
ledger: import_entries      +      -      -     -      -       -     -     -      -      -       -       -       -        -        -        -        -
ledger: cleanup_expired     +      -      -     -      -       -     -     -      -      -       -       -       -        -        -        -        -
ledger: rebuild             +      -      -     -      -       -     -     -      -      -       -       -       -        -        -        -        -
ledger: grants of another   +      -      -     -      -       -     -     -      -      -       -       -       -        -        -        -        -
ledger: grants of oneself   +      +      +     +      +       +     +     +      +      +       +       +       +        +        +        +        +
ledger: explain to oneself  +      +      +     +      +       +     +     +      +      +       +       +       +        +        +        +        +
ledger: grant on the kind   +      -      -     -      -       -     -     -      -      -       -       -       -        -        +        -        -
"""  # noqa: E501

Cell = Literal["+", "-", ".", "m", "c", "b"]

NOTE, ASSET, PROOF, TOKEN, CONNECT = RESOURCES = (
    ("notes", "n-1"),
    ("asset", "a-1"),
    ("proof", "p-1"),
    ("token", "POINTS"),
    ("connect_grant", "c-1"),
)
LAST_SECOND = 4_000_000_000


@dataclass(frozen=True)
class World:
    """A ledger in which every principal of the table is what they are, and some of its entries."""

    ledger: Ledger
    note: ChainEntry  # the newest version of the note
    asset: ChainEntry
    proof: ChainEntry
    connect: ChainEntry
    acl: dict[str, str]  # hash of an entry of acl_grants about each kind's resource
    redaction: str  # hash of the entry about the note's first version, which was redacted


def build(path: Path | None = None) -> World:
    ledger = open_ledger(path)
    access, modules = access_of(ledger), ledger.modules
    redacted = ledger.append(Record("n-1", "notes", {"text": "first"}), CREATOR)
    note = ledger.append(Record("n-1", "notes", {"text": "second"}), CREATOR)
    modules.get("asset").register("a-1", owner_oid=FORMER.oid, issuer_oid=ISSUER.oid, context=CREATOR)
    asset = modules.get("asset").transfer("a-1", to_oid=OWNER.oid, context=FORMER)
    proof = modules.get("proof").issue("p-1", subject_oid=SUBJECT.oid, issuer_oid=ISSUER.oid, context=CREATOR)
    modules.get("token").create("POINTS", issuer_oid=ISSUER.oid, context=CREATOR)
    modules.get("token").mint("POINTS", to_oid=THIRD.oid, amount=7, context=ISSUER)
    connect = modules.get("connect").grant(
        "c-1", subject_oid=SUBJECT.oid, app_oid=APP.oid, scopes=["mail"], exp=LAST_SECOND, context=CREATOR
    )
    for resource in RESOURCES:
        access.grant(AclGrant(*resource, READER.oid, "read"), CREATOR)
        access.grant(AclGrant(*resource, WRITER.oid, "write"), CREATOR)
        access.grant(AclGrant(*resource, HOLDER.oid, "full"), CREATOR)
        access.grant(AclGrant(*resource, EXPIRED.oid, "full", exp=1_000_000_000), CREATOR)
        access.grant(AclGrant(*resource, REVOKED.oid, "full"), CREATOR)
        access.revoke(AclGrant(*resource, REVOKED.oid, "full"), CREATOR)
        access.grant(AclGrant(resource[0], "*", KIND_READER.oid, "read"), ADMIN)
        access.grant(AclGrant(resource[0], "*", KIND_WRITER.oid, "write"), ADMIN)
        access.grant(AclGrant(resource[0], "*", KIND_HOLDER.oid, "full"), ADMIN)
    acl = {
        entry.record.payload["resource_kind"]: entry.hash
        for entry in ledger.query(QueryFilters(stream="acl_grants"), ADMIN).entries
        if entry.record.payload["resource_id"] != "*"
    }
    redaction = ledger.redact(redacted.hash, "no longer needed", CREATOR).hash
    return World(ledger, note, asset, proof, connect, acl, redaction)


# Actions: each answers whether what it is about was shown, True or False, where that is the question.


def append_version(world: World, who: RequestContext) -> bool:
    world.ledger.append(Record("n-1", "notes", {"text": "third"}), who)
    return True


def append_batch(world: World, who: RequestContext) -> bool:
    # Everybody may append the first of them.
    records = [Record("n-new", "notes", {}), Record("n-1", "notes", {"text": "third"})]
    world.ledger.append_batch(records, who)
    return True


def append_unique(world: World, who: RequestContext) -> bool:
    entry = world.ledger.append(Record("n-1", "notes", {"text": "second"}), who, unique=True)
    assert entry == world.note
    return True


def create_another(world: World, who: RequestContext) -> bool:
    world.ledger.append(Record("n-2", "notes", {}), who)
    return True


def get_note(world: World, who: RequestContext) -> bool:
    found = world.ledger.get(world.note.hash, who)
    assert found in (None, world.note)
    return found is not None


def get_note_by_id(world: World, who: RequestContext) -> bool:
    found = world.ledger.get_by_id("n-1", who)
    assert found in (None, world.note)
    return found is not None


def history_of_note(world: World, who: RequestContext) -> bool:
    found = [entry.seq for entry in world.ledger.history("n-1", who)]
    assert found in ([], [0, 1])
    return bool(found)


def query_notes(world: World, who: RequestContext) -> bool:
    found = [entry.seq for entry in world.ledger.query(QueryFilters(stream="notes"), who).entries]
    assert found in ([], [0, 1])
    return bool(found)


def query_latest_notes(world: World, who: RequestContext) -> bool:
    page = world.ledger.query(QueryFilters(stream="notes", latest_only=True), who)
    assert page.entries in ([], [world.note])
    return bool(page.entries)


def query_total(world: World, who: RequestContext) -> bool:
    total = world.ledger.query(QueryFilters(stream="notes", limit=1, with_total=True), who).total
    assert total in (0, 2)
    return total == 2


def iterate(world: World, who: RequestContext) -> bool:
    return world.note in list(world.ledger.entries(who))


def list_notes(world: World, who: RequestContext) -> bool:
    found = access_of(world.ledger).list(who.oid, ResourceFilters("notes"), context=ADMIN)
    assert [item.entry for item in found] in ([], [world.note])
    return bool(list(found))


def require(scope: Literal["read", "write", "full"]) -> Callable[[World, RequestContext], bool]:
    def required(world: World, who: RequestContext) -> bool:
        resource = access_of(world.ledger).require(who.oid, scope, ResourcePredicate(*NOTE))
        assert (resource.kind, resource.id) == NOTE
        assert resource.entry in (None, world.note)
        return resource.entry is not None

    return required


def redact(name: Literal["note", "asset", "proof", "connect"]) -> Callable[[World, RequestContext], bool]:
    def redacted(world: World, who: RequestContext) -> bool:
        entry: ChainEntry = getattr(world, name)
        world.ledger.redact(entry.hash, "asked for", who)
        erased = world.ledger.get(entry.hash, ADMIN)
        assert erased is not None
        return erased.redacted

    return redacted


def grant(kind: str, id: str) -> Callable[[World, RequestContext], bool]:
    def granted(world: World, who: RequestContext) -> bool:
        access_of(world.ledger).grant(AclGrant(kind, id, THIRD.oid, "read"), who)
        assert access_of(world.ledger).check(THIRD.oid, "read", ResourcePredicate(kind, None if id == "*" else id))
        return True

    return granted


def revoke(kind: str, id: str) -> Callable[[World, RequestContext], bool]:
    def revoked(world: World, who: RequestContext) -> bool:
        access_of(world.ledger).revoke(AclGrant(kind, id, READER.oid, "read"), who)
        assert not access_of(world.ledger).check(READER.oid, "read", ResourcePredicate(kind, id))
        return True

    return revoked


def acl_entries(kind: str, id: str) -> Callable[[World, RequestContext], bool]:
    def shown(world: World, who: RequestContext) -> bool:
        payload = {"resource_kind": kind, "resource_id": id}
        page = world.ledger.query(QueryFilters(stream="acl_grants", payload=payload, with_total=True), who)
        assert page.total == len(page.entries) == (6 if page.entries else 0)
        found = world.ledger.get(world.acl[kind], who)
        assert (found is not None) == bool(page.entries)
        return found is not None

    return shown


def redaction_entries(world: World, who: RequestContext) -> bool:
    page = world.ledger.query(QueryFilters(stream="redactions", with_total=True), who)
    assert [entry.hash for entry in page.entries] in ([], [world.redaction])
    assert page.total == len(page.entries)
    found = world.ledger.get(world.redaction, who)
    assert (found is not None) == bool(page.entries)
    return found is not None


def explain(world: World, who: RequestContext) -> bool:
    return (
        access_of(world.ledger)
        .explain(THIRD.oid, "read", ResourcePredicate(*NOTE), context=who)
        .reason.endswith("in the chain")
    )


def periods(kind: str, id: str) -> Callable[[World, RequestContext], bool]:
    def shown(world: World, who: RequestContext) -> bool:
        periods = access_of(world.ledger).history(ResourcePredicate(kind, id), context=who)
        return HOLDER.oid in {period.grant.principal_oid for period in periods}

    return shown


def grants_on(world: World, who: RequestContext) -> bool:
    grants = access_of(world.ledger).grants_on(ResourcePredicate(*NOTE), context=who)
    return {grant.principal_oid for grant in grants} == {CREATOR.oid, READER.oid, WRITER.oid, HOLDER.oid}


def update_asset(world: World, who: RequestContext) -> bool:
    world.ledger.modules.get("asset").update("a-1", payload={"colour": "red"}, context=who)
    return True


def transfer_asset(world: World, who: RequestContext) -> bool:
    world.ledger.modules.get("asset").transfer("a-1", to_oid=THIRD.oid, context=who)
    return True


def get_asset(world: World, who: RequestContext) -> bool:
    asset = world.ledger.modules.get("asset").get("a-1", who)
    assert asset is None or asset.entry == world.asset
    return asset is not None


def owner_of_asset(world: World, who: RequestContext) -> bool:
    owner = world.ledger.modules.get("asset").owner("a-1", who)
    assert owner in (None, OWNER.oid)
    return owner is not None


def history_of_asset(world: World, who: RequestContext) -> bool:
    found = world.ledger.modules.get("asset").history("a-1", who)
    assert len(found) in (0, 2)
    return bool(found)


def list_assets(world: World, who: RequestContext) -> bool:
    found = world.ledger.modules.get("asset").list(owner_oid=OWNER.oid, context=who)
    assert [asset.id for asset in found] in ([], ["a-1"])
    return bool(list(found))


def revoke_proof(world: World, who: RequestContext) -> bool:
    world.ledger.modules.get("proof").revoke("p-1", reason="wrong", context=who)
    return True


def get_proof(world: World, who: RequestContext) -> bool:
    proof = world.ledger.modules.get("proof").get("p-1", who)
    assert proof is None or proof.entry == world.proof
    return proof is not None


def status_of_proof(world: World, who: RequestContext) -> bool:
    return world.ledger.modules.get("proof").status("p-1", who) == "active"


def list_proofs(world: World, who: RequestContext) -> bool:
    found = world.ledger.modules.get("proof").list(subject_oid=SUBJECT.oid, context=who)
    assert [proof.id for proof in found] in ([], ["p-1"])
    return bool(list(found))


def mint(world: World, who: RequestContext) -> bool:
    world.ledger.modules.get("token").mint("POINTS", to_oid=THIRD.oid, amount=1, context=who)
    return True


def get_token(world: World, who: RequestContext) -> bool:
    token = world.ledger.modules.get("token").get("POINTS", who)
    assert token is None or token.supply == 7
    return token is not None


def balance(world: World, who: RequestContext) -> bool:
    tokens = world.ledger.modules.get("token")
    assert tokens.balance("POINTS", THIRD.oid, who) == tokens.supply("POINTS", who) in (0, 7)
    return tokens.supply("POINTS", who) == 7


def holders(world: World, who: RequestContext) -> bool:
    found = world.ledger.modules.get("token").holders("POINTS", context=who)
    assert [holder.oid for holder in found] in ([], [THIRD.oid])
    return bool(list(found))


def revoke_connect(world: World, who: RequestContext) -> bool:
    world.ledger.modules.get("connect").revoke("c-1", context=who)
    return True


def get_connect(world: World, who: RequestContext) -> bool:
    return world.ledger.modules.get("connect").get("c-1", who) is not None


def check_connect(world: World, who: RequestContext) -> bool:
    grants = world.ledger.modules.get("connect")
    return grants.check(app_oid=APP.oid, subject_oid=SUBJECT.oid, scope="mail", context=who)


def list_connect(world: World, who: RequestContext) -> bool:
    found = world.ledger.modules.get("connect").list(app_oid=APP.oid, context=who)
    assert [item.id for item in found] in ([], ["c-1"])
    return bool(list(found))


def export(world: World, who: RequestContext) -> bool:
    target = io.BytesIO()
    try:
        return world.ledger.export(target, who) == len(world.ledger)
    except AccessDeniedError:
        assert target.getvalue() == b""
        raise


def cleanup_expired(world: World, who: RequestContext) -> bool:
    return access_of(world.ledger).cleanup_expired(who) == len(RESOURCES)


def rebuild(world: World, who: RequestContext) -> bool:
    access_of(world.ledger).rebuild(who)
    return True


def grants_of_another(world: World, who: RequestContext) -> bool:
    return bool(access_of(world.ledger).grants_of("oid:onoal:user:nobody", context=who) == [])


def grants_of_oneself(world: World, who: RequestContext) -> bool:
    grants = access_of(world.ledger).grants_of(who.oid, context=who)
    return {grant.principal_oid for grant in grants} <= {who.oid}


def explain_to_oneself(world: World, who: RequestContext) -> bool:
    access = access_of(world.ledger)
    explained = access.explain(who.oid, "read", ResourcePredicate(*NOTE), context=who)
    return explained.allowed == access.check(who.oid, "read", ResourcePredicate(*NOTE))


ACTIONS: dict[str, Callable[[World, RequestContext], bool]] = {
    "note: append version": append_version,
    "note: append batch": append_batch,
    "note: append unique": append_unique,
    "note: create another": create_another,
    "note: create if granted": create_another,
    "note: get": get_note,
    "note: get_by_id": get_note_by_id,
    "note: history": history_of_note,
    "note: query": query_notes,
    "note: query latest only": query_latest_notes,
    "note: query with total": query_total,
    "note: entries": iterate,
    "note: access.list": list_notes,
    "note: access.require read": require("read"),
    "note: access.require write": require("write"),
    "note: access.require full": require("full"),
    "note: redact": redact("note"),
    "note: grant": grant(*NOTE),
    "note: revoke": revoke(*NOTE),
    "note: acl_grants entries": acl_entries(*NOTE),
    "note: redactions entries": redaction_entries,
    "note: access.explain": explain,
    "note: access.history": periods(*NOTE),
    "note: access.grants_on": grants_on,
    "asset: update": update_asset,
    "asset: transfer": transfer_asset,
    "asset: get": get_asset,
    "asset: owner": owner_of_asset,
    "asset: history": history_of_asset,
    "asset: list": list_assets,
    "asset: redact": redact("asset"),
    "asset: grant": grant(*ASSET),
    "asset: revoke": revoke(*ASSET),
    "asset: acl_grants entries": acl_entries(*ASSET),
    "asset: access.history": periods(*ASSET),
    "proof: revoke it": revoke_proof,
    "proof: get": get_proof,
    "proof: status": status_of_proof,
    "proof: list": list_proofs,
    "proof: redact": redact("proof"),
    "proof: grant": grant(*PROOF),
    "proof: acl_grants entries": acl_entries(*PROOF),
    "token: mint": mint,
    "token: get": get_token,
    "token: balance": balance,
    "token: holders": holders,
    "token: grant": grant(*TOKEN),
    "connect: revoke it": revoke_connect,
    "connect: get": get_connect,
    "connect: check": check_connect,
    "connect: list": list_connect,
    "connect: redact": redact("connect"),
    "connect: grant": grant(*CONNECT),
    "ledger: export": export,
    "ledger: cleanup_expired": cleanup_expired,
    "ledger: rebuild": rebuild,
    "ledger: grants of another": grants_of_another,
    "ledger: grants of oneself": grants_of_oneself,
    "ledger: explain to oneself": explain_to_oneself,
    "ledger: grant on the kind": grant("notes", "*"),
}
BLIND = "note: access.require write"
IN_A_FILE = {"note: create if granted", "ledger: import_entries"}


def read_table() -> dict[tuple[str, str], str]:
    """Return what stands in the table, by action and principal."""
    header, *lines = [line for line in TABLE.splitlines() if line.strip()]
    assert header.split() == list(PRINCIPALS)
    cells: dict[tuple[str, str], str] = {}
    for line in lines:
        action, row = line[:26].strip(), line[26:].split()
        assert len(row) == len(PRINCIPALS), action
        cells |= {(action, principal): cell for principal, cell in zip(PRINCIPALS, row, strict=True)}
    return cells


CELLS = read_table()


@pytest.fixture
def world() -> Iterator[World]:
    built = build()
    with built.ledger:
        yield built


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a file, closed; not to be changed."""
    path = tmp_path_factory.mktemp("world") / "ledger.db"
    build(path).ledger.close()
    return path


def outcome(ledger: Ledger, action: Callable[[], bool], *, blind: bool = False) -> str:
    """Do it, and say what came of it in the table's words; what is refused leaves nothing behind."""
    before = ledger.head()
    try:
        shown = action()
    except AccessDeniedError:
        cell = "-"
    except RecordRefusedError:
        cell = "m"
    except ConflictError as error:
        # Another outcome than any in the table, where it tells what may not be seen.
        cell = "c" if error.existing_hash is None and "at seq" not in str(error) else f"ConflictError: {error}"
    else:
        return "+" if shown else "b" if blind else "."
    assert ledger.head() == before
    return cell


def test_the_table_has_a_row_for_every_action() -> None:
    assert {action for action, _ in CELLS} == {*ACTIONS, *IN_A_FILE}


@pytest.mark.parametrize(("action", "principal"), [cell for cell in CELLS if cell[0] not in IN_A_FILE])
def test_table(world: World, action: str, principal: str) -> None:
    who = PRINCIPALS[principal]
    found = outcome(world.ledger, lambda: ACTIONS[action](world, who), blind=action == BLIND)
    assert found == CELLS[action, principal]


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_create_where_creation_is_granted(template: Path, tmp_path: Path, principal: str) -> None:
    path = copy_of(template, tmp_path)
    with open_ledger(path, creation="granted") as ledger:
        record = Record("n-2", "notes", {})
        found = outcome(ledger, lambda: ledger.append(record, PRINCIPALS[principal]).seq + 1 == len(ledger))
    assert found == CELLS["note: create if granted", principal]


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_import_entries(template: Path, tmp_path: Path, principal: str) -> None:
    path, other = copy_of(template, tmp_path), tmp_path / "other.db"
    with open_ledger(path) as ledger:
        ledger.backup(other)
        with create_ledger(storage=sqlite_storage(other), modules=BUILT_IN) as copy:
            entry = copy.append(Record("n-3", "notes", {}), STRANGER)
        found = outcome(ledger, lambda: ledger.import_entries([entry], PRINCIPALS[principal]) == entry.seq + 1)
    assert found == CELLS["ledger: import_entries", principal]


def copy_of(template: Path, directory: Path) -> Path:
    for name in (template.name, f"{template.name}.anchor"):
        (directory / name).write_bytes((template.parent / name).read_bytes())
    return directory / template.name


def test_what_is_not_seen_is_answered_like_what_is_not_there(world: World) -> None:
    """Every question about the note and about a note that does not exist, asked by a stranger."""
    ledger, missing = world.ledger, "0" * 64
    pairs: list[tuple[Any, Any]] = [
        (ledger.get(world.note.hash, STRANGER), ledger.get(missing, STRANGER)),
        (ledger.get_by_id("n-1", STRANGER), ledger.get_by_id("n-0", STRANGER)),
        (ledger.history("n-1", STRANGER), ledger.history("n-0", STRANGER)),
    ]
    for seen, unknown in pairs:
        assert seen == unknown
    messages = []
    for named in (world.note.hash, missing):
        with pytest.raises(ConflictError) as caught:
            ledger.redact(named, "asked for", STRANGER)
        messages.append(str(caught.value).replace(named, "HASH"))
    assert messages[0] == messages[1]
