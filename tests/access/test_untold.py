"""What nobody is told who may not read it: the head, entries of others, how many there are and when they were made."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from tests.access.conftest import ADMIN, ALICE, APP, BOB, CAROL, ISSUER, STRANGER, access_of, open_ledger

from nucleus import (
    AccessDeniedError,
    ChainEntry,
    ConfigError,
    ConflictError,
    Ledger,
    Module,
    ModuleConfig,
    ModuleContext,
    NucleusError,
    Record,
    RecordRefusedError,
    RequestContext,
    create_ledger,
)
from nucleus.access import AccessConfig, AclGrant, Explanation, ResourcePredicate

SECRET = Record("s-1", "secrets", {"n": 1})
WRONG = "0" * 64


def appends(record: Record) -> list[Callable[..., object]]:
    """The calls that append a record, alone and behind another one that everybody may append."""
    return [
        lambda ledger, who, head: ledger.append(record, who, expected_head=head),
        lambda ledger, who, head: ledger.append(record, who, expected_head=head, unique=True),
        lambda ledger, who, head: ledger.append_batch([record], who, expected_head=head),
        lambda ledger, who, head: ledger.append_batch([Record("own", "own", {}), record], who, expected_head=head),
    ]


# The head.


@pytest.mark.parametrize("call", appends(SECRET))
def test_who_may_not_append_learns_nothing_of_the_head(call: Callable[..., object]) -> None:
    with open_ledger() as ledger:
        entry = ledger.append(SECRET, ALICE)
        refusals = []
        for head in (WRONG, entry.hash):
            with pytest.raises(AccessDeniedError) as refused:
                call(ledger, BOB, head)
            refusals.append(str(refused.value))
        assert refusals[0] == refusals[1], "right or wrong, the answer is the same"
        assert ledger.head() == (0, entry.hash)


@pytest.mark.parametrize("call", appends(SECRET))
def test_who_may_write_and_not_read_is_not_told_the_head(call: Callable[..., object]) -> None:
    with open_ledger() as ledger:
        ledger.append(SECRET, ALICE)
        access_of(ledger).grant(AclGrant("secrets", "s-1", BOB.oid, "write"), ALICE)
        head = ledger.append(SECRET, ALICE)
        with pytest.raises(ConflictError) as refused:
            call(ledger, BOB, WRONG)
        assert refused.value.existing_hash is None
        assert head.hash not in str(refused.value)
        access_of(ledger).grant(AclGrant("secrets", "s-1", BOB.oid, "read"), ALICE)
        head = ledger.append(SECRET, ALICE)
        with pytest.raises(ConflictError) as refused:
            call(ledger, BOB, WRONG)
        assert refused.value.existing_hash == head.hash
        assert head.hash in str(refused.value)


def test_the_head_that_was_expected_is_one_that_a_writer_may_give() -> None:
    with open_ledger() as ledger:
        ledger.append(SECRET, ALICE)
        (granted,) = access_of(ledger).grant(AclGrant("secrets", "s-1", BOB.oid, "write"), ALICE)
        assert ledger.append(SECRET, BOB, expected_head=granted.hash).seq == 2


def test_an_entry_of_the_engine_at_the_head_is_shown_to_whoever_governs_its_resource() -> None:
    with open_ledger() as ledger:
        ledger.append(SECRET, ALICE)
        (granted,) = access_of(ledger).grant(AclGrant("secrets", "s-1", BOB.oid, "write"), ALICE)
        for who, shown in ((ALICE, granted.hash), (BOB, None), (ADMIN, granted.hash)):
            with pytest.raises(ConflictError) as refused:
                ledger.append(SECRET, who, expected_head=WRONG)
            assert refused.value.existing_hash == shown


# What an append answers.


def test_a_transfer_tells_nothing_of_other_accounts_to_whoever_may_not_read_them() -> None:
    with open_ledger() as ledger:
        tokens = ledger.modules.get("token")
        tokens.create("P", issuer_oid=ISSUER.oid, context=ISSUER)
        tokens.mint("P", to_oid=ALICE.oid, amount=100, context=ISSUER)
        tokens.mint("P", to_oid=BOB.oid, amount=7777, context=ISSUER)
        access_of(ledger).grant(AclGrant("token", "P", ALICE.oid, "write"), ISSUER)
        moves: dict[str, Any] = {"from_oid": ALICE.oid, "to_oid": BOB.oid, "amount": 1, "context": ALICE}
        moved = tokens.transfer("P", tx_id="t-1", **moves)
        assert moved.redacted, "the payload is left out"
        assert moved.salt is None
        assert moved == tokens.transfer("P", tx_id="t-1", **moves), "a retry is told as little"
        whole = ledger.get(moved.hash, ADMIN)
        assert whole is not None
        assert whole.record.payload["to_balance"] == "7778", "it is there for whoever may read it"
        assert (moved.seq, moved.hash, moved.payload_hash) == (whole.seq, whole.hash, whole.payload_hash)

        with pytest.raises(ConflictError) as repeated:
            tokens.transfer("P", tx_id="t-1", **{**moves, "amount": 2})
        assert repeated.value.existing_hash is None
        assert f"entry {moved.seq}" not in str(repeated.value)
        payload = {"action": "transfer", "symbol": "P", "from_oid": ALICE.oid, "to_oid": BOB.oid, "amount": "1"}
        with pytest.raises(RecordRefusedError) as guessed:
            ledger.append(Record("P", "tokens", {**payload, "tx_id": "t-2", "to_balance": "1"}), ALICE)
        assert "7779" not in str(guessed.value)

        access_of(ledger).grant(AclGrant("token", "P", ALICE.oid, "read"), ISSUER)
        assert tokens.transfer("P", tx_id="t-3", **moves).record.payload["to_balance"] == "7779"
        with pytest.raises(ConflictError) as repeated:
            tokens.transfer("P", tx_id="t-1", **{**moves, "amount": 2})
        assert repeated.value.existing_hash == moved.hash


def test_what_a_seller_could_read_they_are_answered() -> None:
    with open_ledger() as ledger:
        assets = ledger.modules.get("asset")
        assets.register("a-1", owner_oid=ALICE.oid, payload={"seat": "A12"}, context=ALICE)
        sold = assets.transfer("a-1", to_oid=BOB.oid, context=ALICE)
        assert sold.record.payload["seat"] == "A12"
        assert ledger.get(sold.hash, ALICE) is None


class Completes(Module):
    """Completes what is appended from what stands before, and keeps what it hears of."""

    streams = ("counters",)
    heard: ClassVar[list[Any]] = []

    def before_append(self, record: Record, context: ModuleContext) -> Record | None:
        if record.stream != "counters":
            return None
        before = context.get_by_id(record.id, stream="counters")
        count = 1 if before is None else before.record.payload["count"] + 1
        return Record(record.id, record.stream, {"count": count}, record.timestamp, record.meta)

    def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
        self.heard.append(entry.record.payload)


def test_modules_hear_of_the_whole_entry_whoever_appends() -> None:
    Completes.heard.clear()
    modules = [ModuleConfig("Completes", "1.0.0", implementation=Completes)]
    with create_ledger("untold", modules=modules, access=AccessConfig(ADMIN.oid)) as ledger:
        counter = Record("c-1", "counters", {})
        assert ledger.append(counter, ALICE).record.payload == {"count": 1}
        access_of(ledger).grant(AclGrant("counters", "c-1", BOB.oid, "write"), ALICE)
        answers = [ledger.append(counter, BOB), *ledger.append_batch([counter, Record("b-1", "notes", {"n": 1})], BOB)]
        assert [answer.redacted for answer in answers] == [True, True, False], "what bob said himself is answered"
        assert Completes.heard == [{"count": 1}, {"count": 2}, {"count": 3}, {"n": 1}]
        assert ledger.verify().valid


def test_a_refusal_does_not_say_where_an_entry_stands(ledger: Ledger) -> None:
    connect = ledger.modules.get("connect")
    connect.grant("c-1", subject_oid=ALICE.oid, app_oid=APP.oid, scopes=["a"], context=ALICE)
    access_of(ledger).grant(AclGrant("connect_grant", "c-1", BOB.oid, "write"), ALICE)
    with pytest.raises(RecordRefusedError) as refused:
        connect.grant("c-1", subject_oid=ALICE.oid, app_oid=APP.oid, scopes=["a"], context=BOB)
    assert "seq" not in str(refused.value)


# Moments.


def explained(ledger: Ledger, who: RequestContext, at: int | datetime | None) -> Explanation | str:
    """Ask about oneself; return what is answered, without the seq that was asked for."""
    try:
        return access_of(ledger).explain(who.oid, "read", ResourcePredicate("notes", "n-1"), at=at, context=who)
    except NucleusError as error:
        return f"{type(error).__name__}: {str(error).replace(str(at), '?')}"


def test_a_seq_is_a_moment_only_to_who_may_read_its_entry() -> None:
    with open_ledger() as ledger:
        own = ledger.append(Record("n-1", "notes", {}), BOB)
        for number in range(5):
            ledger.append(Record(f"s-{number}", "secrets", {}), ALICE)
        newest = ledger.append(Record("n-2", "notes", {}), BOB)
        hidden = ledger.append(Record("s-9", "secrets", {}), ALICE)
        for seq in (own.seq, newest.seq):
            assert isinstance(explained(ledger, BOB, seq), Explanation)
        refusals = {
            explained(ledger, BOB, seq) for seq in (*range(1, 6), hidden.seq, hidden.seq + 1, hidden.seq + 2, 2**40)
        }
        assert len(refusals) == 1, "what is hidden and what is not there are answered alike"
        assert str(*refusals).startswith("ConfigError: ")
        assert isinstance(explained(ledger, BOB, datetime.now(UTC) + timedelta(days=1)), Explanation)
        for seq in range(len(ledger)):
            assert access_of(ledger).explain(BOB.oid, "read", ResourcePredicate("notes", "n-1"), at=seq, context=ADMIN)
        with pytest.raises(ConfigError, match="there is no entry"):
            access_of(ledger).explain(BOB.oid, "read", ResourcePredicate("notes", "n-1"), at=2**40, context=ADMIN)


def test_a_seq_that_the_explanation_names_is_a_moment() -> None:
    with open_ledger() as ledger:
        ledger.append(Record("n-1", "notes", {}), ALICE)
        reads = AclGrant("notes", "n-1", BOB.oid, "read")
        (granted,) = access_of(ledger).grant(reads, ALICE)
        (other,) = access_of(ledger).grant(AclGrant("notes", "n-1", CAROL.oid, "read"), ALICE)
        (revoked,) = access_of(ledger).revoke(reads, ALICE)
        answers = [explained(ledger, BOB, entry.seq) for entry in (granted, revoked)]
        assert [isinstance(answer, Explanation) and answer.allowed for answer in answers] == [True, False]
        assert explained(ledger, BOB, other.seq) == explained(ledger, BOB, 2**40)


# One id in several streams.


def shadowed(ledger: Ledger) -> tuple[ChainEntry, ChainEntry]:
    """Alice has an order; a stranger uses its id in a stream of their own and grants her what she never asked for."""
    own = ledger.append(Record("o-1", "orders", {"paid": False}), ALICE)
    other = ledger.append(Record("o-1", "evil", {"paid": True}), STRANGER)
    access_of(ledger).grant(AclGrant("evil", "o-1", ALICE.oid, "read"), STRANGER)
    return own, other


@pytest.mark.parametrize("who", [ALICE, ADMIN])
def test_an_id_that_means_several_things_is_not_answered(who: RequestContext) -> None:
    with open_ledger() as ledger:
        own, other = shadowed(ledger)
        for call in (ledger.get_by_id, ledger.history):
            with pytest.raises(ConflictError, match=r"`evil` and `orders`.*stream=") as refused:
                call("o-1", who)
            assert refused.value.existing_hash is None
        assert ledger.get_by_id("o-1", who, stream="orders") == own
        assert ledger.history("o-1", who, stream="evil") == [other]


def test_who_sees_one_of_them_is_answered_that_one() -> None:
    with open_ledger() as ledger:
        own, other = shadowed(ledger)
        assert ledger.get_by_id("o-1", STRANGER) == other
        assert ledger.history("o-1", STRANGER) == [other]
        assert ledger.get_by_id("o-1", BOB) is None
        assert ledger.history("o-1", BOB) == []
        access_of(ledger).revoke(AclGrant("evil", "o-1", ALICE.oid, "read"), STRANGER)
        assert ledger.get_by_id("o-1", ALICE) == own
        assert ledger.history("o-1", ALICE) == [own]


def test_a_grant_on_what_has_no_entries_makes_no_id_mean_several_things() -> None:
    with open_ledger() as ledger:
        own = ledger.append(Record("o-1", "orders", {}), ALICE)
        access_of(ledger).grant(AclGrant("reserved", "o-1", ALICE.oid, "full"), ADMIN)
        assert ledger.get_by_id("o-1", ALICE) == own
        assert ledger.get_by_id("o-2", ALICE) is None


def test_the_engines_own_streams_count_as_well() -> None:
    with open_ledger() as ledger:
        ledger.append(Record("o-1", "orders", {}), ALICE)
        (granted,) = access_of(ledger).grant(AclGrant("orders", "o-1", BOB.oid, "read"), ALICE)
        assert ledger.get_by_id(granted.record.id, ALICE) == granted
        assert ledger.get_by_id(granted.record.id, BOB) is None
        ledger.append(Record(granted.record.id, "evil", {}), STRANGER)
        access_of(ledger).grant(AclGrant("evil", granted.record.id, ALICE.oid, "read"), STRANGER)
        with pytest.raises(ConflictError, match="`acl_grants` and `evil`"):
            ledger.get_by_id(granted.record.id, ALICE)


def test_the_administrator_is_not_answered_after_many_versions_either() -> None:
    with open_ledger() as ledger:
        ledger.append(Record("o-1", "orders", {}), ALICE)
        ledger.append_batch([Record("o-1", "evil", {"n": n}) for n in range(3000)], STRANGER)
        with pytest.raises(ConflictError, match="stream="):
            ledger.get_by_id("o-1", ADMIN)
        ledger.append_batch([Record("o-2", "orders", {"n": n}) for n in range(1000)], ALICE)
        for _ in range(2):
            newest = ledger.get_by_id("o-2", ADMIN)
            assert newest is not None
            assert newest.record.payload == {"n": 999}
        ledger.append(Record("o-2", "evil", {}), STRANGER)
        with pytest.raises(ConflictError, match="stream="):
            ledger.get_by_id("o-2", ADMIN)


def test_unique_goes_by_the_resource() -> None:
    with open_ledger() as ledger:
        payment = Record("p-7", "payments", {"amount": "9.99"})
        ledger.append(Record("p-7", "evil", {"amount": "9.99"}), STRANGER)
        access_of(ledger).grant(AclGrant("evil", "p-7", ALICE.oid, "full"), STRANGER)
        first = ledger.append(payment, ALICE, unique=True)
        assert (first.record.stream, first.seq) == ("payments", 2)
        assert ledger.append(payment, ALICE, unique=True) == first
        ledger.append(Record("p-7", "evil", {"amount": "0"}), STRANGER)
        assert ledger.append(payment, ALICE, unique=True) == first
        assert ledger.append(Record("p-7", "more", {}), ADMIN, unique=True).record.stream == "more"
        with pytest.raises(AccessDeniedError):
            ledger.append(payment, BOB, unique=True)
        with pytest.raises(ConflictError):
            ledger.append(Record("p-7", "payments", {"amount": "1"}), ALICE, unique=True)
