"""Request contexts and what is asked about them."""

import copy
import dataclasses
import json
import pickle
import pprint
import subprocess
import sys
from typing import Any

import pytest
from fastapi.encoders import jsonable_encoder
from tests.auth.tokens import ALICE

from nucleus import ContextRequiredError, RequestContext
from nucleus.auth import TokenSource, get_request_context, get_requester_oid, has_role, is_from_source

CONTEXT = RequestContext(ALICE, "admin", "nk_secret", {"a": [1]}, TokenSource.API_KEY)


def test_local_context() -> None:
    context = RequestContext.local(ALICE)
    assert (context.oid, context.role, context.token, context.source) == (ALICE, None, None, "local")
    assert context.claims == {}


def test_token_is_in_no_repr() -> None:
    assert "nk_secret" not in repr(CONTEXT) + str(CONTEXT) + f"{CONTEXT}"


def test_context_cannot_be_changed() -> None:
    for name in ("oid", "role", "token", "claims", "source"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(CONTEXT, name, "x")
    with pytest.raises(TypeError):
        CONTEXT.claims["a"] = 2  # type: ignore[index]


def test_claims_are_a_copy() -> None:
    mine = {"a": 1}
    context = RequestContext(ALICE, claims=mine)
    mine["a"] = 2
    assert context.claims == {"a": 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int) -> None:
    again = pickle.loads(pickle.dumps(CONTEXT, protocol))
    assert again == CONTEXT
    assert again.token is None
    assert b"nk_secret" not in pickle.dumps(CONTEXT, protocol)
    assert hash(again) == hash(CONTEXT)


def test_token_is_in_no_copy_and_no_dictionary() -> None:
    for copied in (copy.copy(CONTEXT), copy.deepcopy(CONTEXT), dataclasses.replace(CONTEXT, role="reader")):
        assert (copied.oid, copied.token, copied.claims) == (ALICE, None, {"a": [1]})
    assert CONTEXT.token == "nk_secret"
    shown = [
        dataclasses.asdict(CONTEXT),
        dataclasses.astuple(CONTEXT),
        json.dumps(CONTEXT, default=dataclasses.asdict),
        json.dumps(CONTEXT, default=str),
        pprint.pformat(CONTEXT),
        jsonable_encoder(CONTEXT),
        CONTEXT.__getstate__(),
        CONTEXT.__reduce_ex__(2),
        {each.name: getattr(CONTEXT, each.name) for each in dataclasses.fields(CONTEXT)},
    ]
    assert "nk_secret" not in repr(shown)
    assert shown[0] == {"oid": ALICE, "role": "admin", "claims": {"a": [1]}, "source": "api_key"}
    with pytest.raises(TypeError):
        vars(CONTEXT)


@pytest.mark.parametrize(
    "oid", [None, "", "alice", "oid:a:b", "oid:A:b:c", "oid:a:b:c\n", " oid:a:b:c", 7, b"oid:a:b:c"]
)
def test_missing_or_malformed_oid(oid: Any) -> None:
    with pytest.raises(ContextRequiredError):
        RequestContext(oid)


def test_unknown_source() -> None:
    with pytest.raises(ValueError, match="telepathy"):
        RequestContext(ALICE, source="telepathy")  # type: ignore[arg-type]


def test_get_requester_oid() -> None:
    assert get_requester_oid(CONTEXT) == ALICE
    with pytest.raises(ContextRequiredError):
        get_requester_oid(None)


def test_has_role() -> None:
    assert has_role(CONTEXT, "admin")
    assert has_role(CONTEXT, "reader", "admin")
    assert not has_role(CONTEXT, "Admin")
    assert not has_role(CONTEXT)
    assert not has_role(RequestContext.local(ALICE), "admin")
    assert not has_role(None, "admin")


def test_is_from_source() -> None:
    assert is_from_source(CONTEXT, "api_key")
    assert is_from_source(CONTEXT, TokenSource.SESSION, TokenSource.API_KEY)
    assert not is_from_source(CONTEXT, "dev")
    assert not is_from_source(None, "api_key")


def test_no_context_outside_of_a_request() -> None:
    with pytest.raises(ContextRequiredError, match="no request"):
        get_request_context()


def test_import_is_light() -> None:
    """Embedding a ledger imports neither JOSE, nor SQLite, nor any HTTP client."""
    script = (
        "import sys, nucleus, nucleus.auth; heavy = {'joserfc', 'cryptography', 'sqlite3', 'urllib.request', 'fastapi',"
        " 'starlette'}; print(sorted(heavy & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"


def test_every_name_can_be_imported() -> None:
    import nucleus.auth

    for name in nucleus.auth.__all__:
        assert getattr(nucleus.auth, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = nucleus.auth.no_such_name


def test_missing_joserfc_is_said_clearly() -> None:
    script = (
        "import sys; sys.modules['joserfc'] = None\n"
        "from nucleus import ConfigError\nfrom nucleus.auth import StaticKeys\n"
        "try: StaticKeys.from_secret(b'0' * 32)\nexcept ConfigError as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "nucleus-ledger[auth]" in answer.stdout
