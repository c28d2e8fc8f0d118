"""The module proof: issued, revoked by its issuer, expired by the clock."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.modules.conftest import ALICE, BOB, ISSUER

from nucleus import ContextRequiredError, InvalidRecordError, Ledger, Record, RecordRefusedError
from nucleus.modules import Proofs


@pytest.fixture
def proofs(ledger: Ledger) -> Proofs:
    return ledger.modules.get("proof")


def issue(proofs: Proofs, id: str = "p-1", **changed: Any) -> None:
    proofs.issue(id, **{"subject_oid": ALICE.oid, "issuer_oid": ISSUER.oid, "context": ISSUER, **changed})


def test_issued_is_what_was_given(proofs: Proofs) -> None:
    exp = int(time.time()) + 1_000
    issue(proofs, type="age", target="t", data={"over": 18}, exp=exp)
    proof = proofs.get("p-1", context=BOB)
    assert proof is not None
    assert (proof.status, proof.subject_oid, proof.issuer_oid) == ("active", ALICE.oid, ISSUER.oid)
    assert (proof.type, proof.target, proof.data, proof.exp) == ("age", "t", {"over": 18}, exp)
    assert proofs.get("p-2", context=BOB) is None
    assert proofs.status("p-2", context=BOB) is None


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"subject_oid": "alice"}, "subject_oid"),
        ({"issuer_oid": "oid:x"}, "issuer_oid"),
        ({"type": ""}, "type"),
        ({"type": 1}, "type"),
        ({"target": []}, "target"),
        ({"exp": 0}, "exp"),
        ({"exp": 1.5}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": int(time.time() * 1000)}, "exp"),
    ],
)
def test_what_is_out_of_bounds_is_refused(ledger: Ledger, proofs: Proofs, changed: dict[str, Any], where: str) -> None:
    with pytest.raises(RecordRefusedError, match=rf"\$\.payload\.{where}"):
        issue(proofs, **changed)
    assert len(ledger) == 0


def test_data_without_a_canonical_form_is_refused(proofs: Proofs) -> None:
    with pytest.raises(InvalidRecordError, match=r"\$\.payload\.data"):
        issue(proofs, data=float("nan"))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        {"subject_oid": ALICE.oid},
        {"subject_oid": ALICE.oid, "issuer_oid": ISSUER.oid, "more": 1},
        {"subject_oid": ALICE.oid, "issuer_oid": None},
        {"action": "revoke", "reason": "x"},
        {"action": "end"},
    ],
)
def test_a_plain_append_obeys_the_same_rules(ledger: Ledger, payload: Any) -> None:
    with pytest.raises(RecordRefusedError) as refusal:
        ledger.append(Record("p-1", "proofs", payload), context=ISSUER)
    assert refusal.value.module_id == "proof"
    assert len(ledger) == 0


def test_only_the_issuer_revokes_once_with_a_reason(proofs: Proofs) -> None:
    issue(proofs, type="age")
    with pytest.raises(RecordRefusedError, match="only the issuer"):
        proofs.revoke("p-1", reason="mine", context=ALICE)
    with pytest.raises(RecordRefusedError, match="reason"):
        proofs.revoke("p-1", reason="", context=ISSUER)
    with pytest.raises(RecordRefusedError, match="no proof"):
        proofs.revoke("p-2", reason="x", context=ISSUER)
    proofs.revoke("p-1", reason="wrong person", context=ISSUER)
    with pytest.raises(RecordRefusedError, match="revoked already"):
        proofs.revoke("p-1", reason="again", context=ISSUER)
    with pytest.raises(RecordRefusedError, match="with this id already"):
        issue(proofs)
    proof = proofs.get("p-1", context=ALICE)
    assert proof is not None
    assert (proof.status, proof.reason, proof.type, proof.subject_oid) == ("revoked", "wrong person", "age", ALICE.oid)
    assert len(proofs.history("p-1", context=ALICE)) == 2


def test_lists_by_everything_and_by_status(proofs: Proofs) -> None:
    now = int(time.time())
    for n in range(12):
        issue(proofs, f"p-{n}", subject_oid=(ALICE if n % 2 else BOB).oid, type="even" if n % 4 == 0 else "other")
    issue(proofs, "old", exp=now - 5)
    issue(proofs, "new", exp=now + 1_000)
    proofs.revoke("p-1", reason="x", context=ISSUER)

    def ids(**by: Any) -> list[str]:
        return [proof.id for proof in proofs.list(context=BOB, **by)]

    assert ids(status="revoked") == ["p-1"]
    assert ids(status="expired") == ["old"]
    assert proofs.status("old", context=BOB) == "expired"
    assert ids(subject_oid=BOB.oid, type="even") == ["p-0", "p-4", "p-8"]
    assert set(ids(subject_oid=ALICE.oid, status="active")) == {"p-3", "p-5", "p-7", "p-9", "p-11", "new"}
    assert len(ids(issuer_oid=ISSUER.oid)) == 14
    assert ids(issuer_oid=BOB.oid) == []
    page = proofs.list(subject_oid=ALICE.oid, status="active", limit=5, context=BOB)
    assert (len(page), page.has_more) == (5, True)
    rest = proofs.list(subject_oid=ALICE.oid, status="active", limit=5, cursor=page.next_cursor, context=BOB)
    assert (len(rest), rest.has_more) == (1, False)


def test_a_redacted_proof_says_so_and_leaves_no_byte(reopen: Callable[[], Ledger], database: Path) -> None:
    ledger = reopen()
    proofs = ledger.modules.get("proof")
    subject = "oid:onoal:user:to-be-forgotten-7391"
    issue(proofs, subject_oid=subject, data="secret-7391")
    entry = proofs.history("p-1", context=ISSUER)[0]
    ledger.redact(entry.hash, "asked for", context=ISSUER)
    assert proofs.status("p-1", context=ISSUER) == "redacted"
    with pytest.raises(RecordRefusedError, match="redacted"):
        proofs.revoke("p-1", reason="x", context=ISSUER)
    assert list(proofs.list(subject_oid=subject, context=ISSUER)) == []
    for file in database.parent.iterdir():
        assert b"to-be-forgotten-7391" not in file.read_bytes()
        assert b"secret-7391" not in file.read_bytes()
    assert reopen().verify(deep=True).valid


def test_every_call_names_who_asks(proofs: Any) -> None:
    # Any: a type checker finds what is forgotten here.
    for call in (
        lambda: issue(proofs, context=None),
        lambda: proofs.revoke("p-1", reason="x"),
        lambda: proofs.get("p-1"),
        lambda: proofs.status("p-1"),
        lambda: proofs.history("p-1"),
        proofs.list,
    ):
        with pytest.raises(ContextRequiredError):
            call()
