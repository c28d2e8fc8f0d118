"""The form of an OID."""

import pytest

from nucleus._core import check_oid
from nucleus.errors import InvalidRecordError


@pytest.mark.parametrize(
    "oid",
    [
        "oid:onoal:user:alice",
        "oid:o:u:a",
        "oid:my-ns-2:api-key:A.b_c-d+e=f/g@h",
        "oid:onoal:org:festival:event:2026:ticket:0001",
        "oid:0:1:2",
        "oid:-:-:-",
        "oid:onoal:user:" + "a" * 240,
    ],
)
def test_accepted(oid: str) -> None:
    check_oid(oid)


@pytest.mark.parametrize(
    "oid",
    [
        "",
        "oid",
        "oid:",
        "oid:onoal",
        "oid:onoal:user",
        "oid:onoal:user:",
        "oid:onoal::alice",
        "oid::user:alice",
        ":onoal:user:alice",
        "onoal:user:alice",
        "OID:onoal:user:alice",
        "did:onoal:user:alice",
        "oid:Onoal:user:alice",
        "oid:onoal:User:alice",
        "oid:on_oal:user:alice",
        "oid:onoal:us.er:alice",
        "oid:onoal:user:al ice",
        "oid:onoal:user:al*ce",
        "oid:onoal:user:al\u00efce",
        "oid:onoal:user:\uff41lice",
        "oid:onoal:user:alice\n",
        "oid:onoal:user:alice\0",
        " oid:onoal:user:alice",
        "oid:onoal:user:alice ",
        "oid:onoal:user:alice:",
        "oid:onoal:user:alice:device",
        "oid:onoal:user:alice:device:",
        "oid:onoal:user:alice:Device:1",
        "oid:onoal:user:alice::1",
        "oid:onoal:user:alice:device:1:app",
        "oid:onoal:user:" + "a" * 241,
        "oid:onoal:user:alice\ud800",
    ],
)
def test_refused(oid: str) -> None:
    with pytest.raises(InvalidRecordError) as refusal:
        check_oid(oid)
    assert len(str(refusal.value)) > len("invalid")


@pytest.mark.parametrize("oid", [None, 1, b"oid:onoal:user:alice", ["oid:onoal:user:alice"]])
def test_only_strings(oid: object) -> None:
    with pytest.raises((TypeError, InvalidRecordError)):
        check_oid(oid)  # type: ignore[arg-type]
