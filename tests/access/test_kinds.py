"""Streams, the kinds of their resources, and the modules that say them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.access.conftest import (
    ADMIN,
    ALICE,
    BOB,
    access_of,
)
from tests.access.notes import note, to

from nucleus import (
    AccessDeniedError,
    ConfigError,
    InvalidRecordError,
    Ledger,
    Module,
    ModuleConfig,
    ModuleError,
    Record,
    create_ledger,
    sqlite_storage,
)
from nucleus.access import AccessConfig, AclGrant, ResourceFilters, ResourcePredicate

# Built-in kinds.


@pytest.mark.parametrize("kind", ["asset", "proof", "token", "connect_grant"])
def test_a_stream_with_the_name_of_a_kind_is_the_administrators_alone(ledger: Ledger, kind: str) -> None:
    with pytest.raises(AccessDeniedError):
        ledger.append(Record("a-1", kind, {}), ALICE)
    access_of(ledger).grant(AclGrant(kind, "*", ALICE.oid, "full"), ADMIN)
    with pytest.raises(AccessDeniedError):
        ledger.append(Record("a-1", kind, {}), ALICE)
    entry = ledger.append(Record("a-1", kind, {"secret": 1}), ADMIN)
    assert ledger.get(entry.hash, ALICE) is None
    assert entry.seq not in [found.seq for found in ledger.entries(ALICE)]
    assert access_of(ledger).history(ResourcePredicate(kind, "a-1"), context=ADMIN) == []


@pytest.mark.parametrize("stream", ["assets", "proofs", "tokens", "connect_grants"])
def test_built_in_streams_keep_their_kinds_where_their_modules_do_not_run(stream: str) -> None:
    kind = stream.removesuffix("s")
    with create_ledger("access", access=AccessConfig(ADMIN.oid)) as ledger:
        for who in (ALICE, ADMIN):
            with pytest.raises(ModuleError):
                ledger.append(Record("a-1", stream, {"owner_oid": BOB.oid}), who)
        access_of(ledger).grant(AclGrant(kind, "*", ALICE.oid, "read"), ADMIN)
        with pytest.raises(InvalidRecordError, match=kind):
            access_of(ledger).grant(AclGrant(stream, "*", ALICE.oid, "read"), ADMIN)
        with pytest.raises(AccessDeniedError):
            ledger.append(Record("a-1", kind, {}), BOB)
        assert len(ledger) == 1


# Modules written in Python.


class Documents(Module):
    streams = ("documents",)
    resource_kind = "document"


class Papers(Module):
    streams = ("papers",)
    resource_kind = "document"


class TakesAStream(Module):
    streams = ("assets",)
    resource_kind = "thing"


class TakesAKind(Module):
    streams = ("things",)
    resource_kind = "asset"


class TakesAKindAsStream(Module):
    streams = ("connect_grant",)


def open_with(path: Path | None, *modules: type[Module], verify_on_open: bool = True, access: bool = True) -> Ledger:
    return create_ledger(
        "access",
        storage=None if path is None else sqlite_storage(path),
        modules=[ModuleConfig(module.__name__, "1.0.0", implementation=module) for module in modules],
        access=AccessConfig(ADMIN.oid) if access else None,
        verify_on_open=verify_on_open,
    )


@pytest.mark.parametrize("module", [TakesAStream, TakesAKind, TakesAKindAsStream])
def test_a_module_does_not_take_a_built_in_stream_or_kind(module: type[Module]) -> None:
    with pytest.raises((ConfigError, ModuleError)):
        open_with(None, module)
    open_with(None, module, access=False).close()


def test_a_module_says_the_kind_of_its_streams() -> None:
    with open_with(None, Documents, Papers) as ledger:
        access = access_of(ledger)
        ledger.append(Record("d-1", "documents", {}), ALICE)
        assert access.check(ALICE.oid, "full", ResourcePredicate("document", "d-1"))
        assert not access.check(ALICE.oid, "full", ResourcePredicate("documents", "d-1"))
        # One resource in two streams: who creates it in one has it in the other.
        with pytest.raises(AccessDeniedError):
            ledger.append(Record("d-1", "papers", {}), BOB)
        ledger.append(Record("d-1", "papers", {}), ALICE)
        access.grant(AclGrant("document", "d-1", BOB.oid, "read"), ALICE)
        assert [entry.record.stream for entry in ledger.history("d-1", BOB)] == ["documents", "papers"]
        (listed,) = access.list(BOB.oid, ResourceFilters("document"), context=ADMIN)
        assert listed.entry is not None
        assert (listed.id, listed.entry.record.stream) == ("d-1", "papers"), "it is listed once, by its newest entry"
        with pytest.raises(InvalidRecordError, match="document"):
            access.grant(AclGrant("documents", "d-1", BOB.oid, "read"), ALICE)


def one_note(ledger: Ledger) -> None:
    ledger.append(note(), ALICE)


def one_document(ledger: Ledger) -> None:
    ledger.append(Record("d-1", "documents", {}), ALICE)


def one_record_called_like_the_kind(ledger: Ledger) -> None:
    ledger.append(Record("d-1", "document", {}), ALICE)


def one_grant_on_a_document(ledger: Ledger) -> None:
    access_of(ledger).grant(AclGrant("document", "d-1", ALICE.oid, "full"), ADMIN)


def one_grant_on_the_stream(ledger: Ledger) -> None:
    access_of(ledger).grant(AclGrant("documents", "d-1", ALICE.oid, "full"), ADMIN)


def one_grant_that_was_revoked(ledger: Ledger) -> None:
    """It gives nobody anything, and yet reserves the document."""
    wanted = AclGrant("document", "d-1", ALICE.oid, "full")
    access_of(ledger).grant(wanted, ADMIN)
    access_of(ledger).revoke(wanted, ADMIN, allow_last_full=True)


@pytest.mark.parametrize(
    ("before", "fill", "after"),
    [
        ([], one_note, [Documents]),
        ([Documents], one_note, []),
        ([Documents], one_document, [Documents, Papers]),
        ([Documents, Papers], one_document, [Documents]),
        ([Papers, Documents], one_document, [Documents, Papers]),
    ],
)
def test_modules_may_come_and_go_while_nothing_is_affected(
    database: Path, before: list[type[Module]], fill: Callable[[Ledger], None], after: list[type[Module]]
) -> None:
    with open_with(database, *before) as ledger:
        fill(ledger)
        grants = access_of(ledger).grants_of(ALICE.oid, context=ADMIN)
    with open_with(database, *after) as ledger:
        assert access_of(ledger).grants_of(ALICE.oid, context=ADMIN) == grants
        assert len(list(ledger.entries(ALICE))) == 1
        assert ledger.verify().valid


@pytest.mark.parametrize(
    ("before", "fill", "after", "allowed"),
    [
        ([], one_document, [Documents], True),
        ([Documents], one_document, [], True),
        ([], one_record_called_like_the_kind, [Documents], False),
        ([], one_grant_on_the_stream, [Documents], False),
        ([Documents], one_grant_on_a_document, [], False),
        ([], one_grant_that_was_revoked, [Documents], False),
    ],
)
def test_other_kinds_than_the_file_was_opened_with_are_refused_where_they_change_something(
    database: Path,
    before: list[type[Module]],
    fill: Callable[[Ledger], None],
    after: list[type[Module]],
    allowed: bool,
) -> None:
    with open_with(database, *before) as ledger:
        fill(ledger)
    with pytest.raises(ConfigError, match="kinds"):
        open_with(database, *after)
    with open_with(database, *after, verify_on_open=False) as ledger:
        access_of(ledger).rebuild(ADMIN)
    with open_with(database, *after) as ledger:
        document = ResourcePredicate("document" if after else "documents", "d-1")
        assert access_of(ledger).check(ALICE.oid, "full", document) == allowed
        assert ledger.verify().valid


def test_until_they_are_rebuilt_other_kinds_let_nobody_read_or_write(database: Path) -> None:
    with open_with(database, Documents) as ledger:
        one_document(ledger)
    with open_with(database, verify_on_open=False) as ledger:
        for who in (ALICE, BOB, ADMIN):
            with pytest.raises(ConfigError, match="kinds"):
                ledger.append(note(), who)
            with pytest.raises(ConfigError, match="kinds"):
                access_of(ledger).grant(to(BOB), who)
        for who in (ALICE, BOB):
            with pytest.raises(ConfigError, match="kinds"):
                ledger.get_by_id("d-1", who)
        with pytest.raises(AccessDeniedError):
            access_of(ledger).rebuild(ALICE)
        assert len(ledger) == 1


def test_what_a_resource_says_is_what_its_newest_entry_says(database: Path) -> None:
    with open_with(database, Documents, Papers) as ledger:
        ledger.append(Record("d-1", "documents", {"type": "draft"}), ALICE)
        ledger.append(Record("d-1", "papers", {"type": "final", "action": "revoke"}), ALICE)
        access = access_of(ledger)
        for named, holds in (
            (ResourcePredicate("document", "d-1", type="final"), True),
            (ResourcePredicate("document", "d-1", type="draft"), False),
            (ResourcePredicate("document", "d-1", status="revoked"), True),
            (ResourcePredicate("document", "d-1", status="active"), False),
        ):
            assert access.check(ALICE.oid, "read", named) == holds, named
            filters = ResourceFilters("document", type=named.type, status=named.status)
            assert [item.id for item in access.list(ALICE.oid, filters, context=ADMIN)] == (["d-1"] if holds else [])
