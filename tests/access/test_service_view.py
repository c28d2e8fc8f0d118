"""What the service asks for itself: everything, of anybody, without a context, and nowhere else."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.access.conftest import ADMIN, ALICE, BOB, BUILT_IN, STRANGER
from tests.access.notes import NOTE, note

from nucleus import AccessDeniedError, ConfigError, ContextRequiredError, Ledger, create_async_ledger
from nucleus.access import (
    AccessConfig,
    AclGrant,
    AsyncServiceAccess,
    LedgerAccess,
    ResourceFilters,
    ResourcePredicate,
    ServiceAccess,
)

GRANT = AclGrant("notes", "n-1", BOB.oid, "read")


@pytest.fixture
def service(ledger: Ledger) -> ServiceAccess:
    """The view of a service whose ledger has a note that Alice let Bob read, and one that she did not."""
    ledger.append_batch([note(), note("n-2")], ALICE)
    ledger.access.grant(GRANT, ALICE)
    return ledger.access.service


def test_it_is_told_what_the_administrator_is(ledger: Ledger, service: ServiceAccess) -> None:
    access = ledger.access
    filters = ResourceFilters("notes")
    assert service.administrator == ADMIN.oid
    assert service.grants_of(BOB.oid) == access.grants_of(BOB.oid, ADMIN) != []
    assert service.grants_on(NOTE) == access.grants_on(NOTE, ADMIN) != []
    assert service.history(NOTE) == access.history(NOTE, ADMIN) != []
    for principal in (ALICE, BOB, STRANGER):
        assert service.list(principal.oid, filters) == access.list(principal.oid, filters, ADMIN)
        assert service.check(principal.oid, "read", NOTE) == access.check(principal.oid, "read", NOTE)
        for at in (None, 0, 2):
            told = access.explain(principal.oid, "read", NOTE, at=at, context=ADMIN)
            assert service.explain(principal.oid, "read", NOTE, at=at) == told
            assert service.check(principal.oid, "read", NOTE, at=at) == told.allowed
    assert service.check_many(BOB.oid, "read", [NOTE, replace(NOTE, id="n-2")]) == [True, False]
    assert service.require(BOB.oid, "read", NOTE) == access.require(BOB.oid, "read", NOTE)
    with pytest.raises(AccessDeniedError):
        service.require(STRANGER.oid, "read", NOTE)
    assert repr(service) == f"<ServiceAccess of ledger 'access', administrator {ADMIN.oid!r}>"


def test_pages_go_on_where_they_ended(service: ServiceAccess) -> None:
    first = service.list(ALICE.oid, ResourceFilters("notes", limit=1))
    assert first.has_more
    second = service.list(ALICE.oid, ResourceFilters("notes", limit=1, cursor=first.next_cursor))
    assert ([resource.id for resource in (*first, *second)], second.has_more) == (["n-1", "n-2"], False)
    with pytest.raises(ConfigError, match="cursor"):
        service.list(ALICE.oid, ResourceFilters("notes", cursor="9:"))


def test_names_that_nothing_bears_are_refused(service: ServiceAccess) -> None:
    broken = ResourcePredicate("notes", "\ud800")
    calls: list[Callable[[], object]] = [
        lambda: service.grants_of("oid:\ud800"),
        lambda: service.list("oid:\ud800", ResourceFilters("notes")),
        lambda: service.grants_on(broken),
        lambda: service.history(broken),
        lambda: service.check(BOB.oid, "read", broken),
        lambda: service.explain(BOB.oid, "read", broken),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="lone surrogate"):
            call()
    with pytest.raises(ConfigError, match="named by an OID"):
        service.grants_of(cast(Any, None))


def methods(of: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(of).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def test_it_changes_nothing_and_takes_no_context() -> None:
    offered = methods(ServiceAccess)
    assert offered.keys() == methods(LedgerAccess).keys() - {"grant", "revoke", "cleanup_expired", "rebuild"}
    assert all("context" not in signature.parameters for signature in offered.values())


def test_without_it_somebody_asks(ledger: Ledger) -> None:
    """Each method of ``ledger.access`` names a principal that it is asked for, or takes a context and refuses None."""
    arguments: dict[str, tuple[Any, ...]] = {
        "grant": (GRANT,),
        "revoke": (GRANT,),
        "list": (BOB.oid, ResourceFilters("notes")),
        "grants_of": (BOB.oid,),
        "grants_on": (NOTE,),
        "explain": (BOB.oid, "read", NOTE),
        "history": (NOTE,),
        "cleanup_expired": (),
        "rebuild": (),
    }
    ledger.append(note(), ALICE)
    for name, signature in methods(LedgerAccess).items():
        if "context" not in signature.parameters:
            assert "principal_oid" in signature.parameters, name
            continue
        with pytest.raises(ContextRequiredError):
            getattr(ledger.access, name)(*arguments[name], context=None)


def test_the_asynchronous_view_answers_the_same(ledger: Ledger, service: ServiceAccess) -> None:
    assert {name: str(signature) for name, signature in methods(AsyncServiceAccess).items()} == {
        name: str(signature) for name, signature in methods(ServiceAccess).items()
    }

    async def main() -> None:
        config = AccessConfig(administrator=ADMIN.oid)
        async with create_async_ledger("access", modules=BUILT_IN, access=config) as awaited:
            await awaited.append_batch([note(), note("n-2")], ALICE)
            await awaited.access.grant(GRANT, ALICE)
            view, filters = awaited.access.service, ResourceFilters("notes")
            assert view.administrator == ADMIN.oid
            assert await view.check(BOB.oid, "read", NOTE)
            assert await view.check_many(BOB.oid, "read", iter([NOTE, replace(NOTE, id="n-2")])) == [True, False]
            assert (await view.require(BOB.oid, "read", NOTE)).id == "n-1"
            assert [each.id for each in await view.list(BOB.oid, filters)] == ["n-1"]
            assert [each.seq for each in await view.grants_of(BOB.oid)] == [2]
            assert len(await view.grants_on(NOTE)) == len(service.grants_on(NOTE))
            assert (await view.explain(BOB.oid, "read", NOTE)).reason == service.explain(BOB.oid, "read", NOTE).reason
            assert len(await view.history(NOTE)) == len(service.history(NOTE))
            assert repr(view) == f"<AsyncServiceAccess of {service!r}>"

    asyncio.run(main())
