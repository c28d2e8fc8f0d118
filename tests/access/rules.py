"""What the built-in modules let through, as far as random operations reach: the new state of a record, or None."""

from collections.abc import Callable, Mapping
from typing import Any

State = Mapping[str, Any]
"""The payload of a record's newest entry; empty where it was erased."""


def next_state(stream: str, state: State | None, payload: State, requester: str) -> State | None:
    """Return what a record comes to by an append; None where its module refuses the append.

    Args:
        stream: the record's stream; one that no module rules takes every payload.
        state: what the record has come to; None where there is none yet.
        payload: what is appended.
        requester: who asks.
    """
    rule = _RULES.get(stream)
    if rule is None:
        return payload
    action = payload["action"]
    if state is None:
        return payload if action in _FIRST else None
    if action in _FIRST or not state or not rule(state, payload, requester):
        return None
    return {**state, **payload}


def _asset(state: State, payload: State, requester: str) -> bool:
    if state["action"] == "retire":
        return False
    if payload["action"] == "transfer":
        return bool(requester == state["owner_oid"] != payload["owner_oid"])
    return requester in (state["owner_oid"], state.get("issuer_oid"))


def _proof(state: State, payload: State, requester: str) -> bool:
    return bool(state["action"] != "revoke" and requester == state["issuer_oid"])


def _token(state: State, payload: State, requester: str) -> bool:
    return bool(requester == state["issuer_oid"])


def _connect(state: State, payload: State, requester: str) -> bool:
    return state["action"] != "revoke" and requester in (state["subject_oid"], state["app_oid"])


_FIRST = frozenset({"register", "issue", "create", "grant"})
_RULES: Mapping[str, Callable[[State, State, str], bool]] = {
    "assets": _asset,
    "proofs": _proof,
    "tokens": _token,
    "connect_grants": _connect,
}
