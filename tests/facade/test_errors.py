"""The exception tree: its shape, its attributes, and that every exception survives pickling."""

import copy
import inspect
import pickle
import re
from typing import Any

import pytest
from tests.facade.samples import ALICE, note

import nucleus
from nucleus import IntegrityError, Ledger, NucleusError, errors

CLASSES = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, NucleusError)]

ATTRIBUTES: list[tuple[type[NucleusError], dict[str, Any]]] = [
    (errors.InvalidRecordError, {"path": "$.payload[3]"}),
    (errors.ModuleError, {"module_id": "proof"}),
    (errors.ModuleAlreadyRegisteredError, {"module_id": "proof"}),
    (errors.UnknownModuleError, {"module_id": "proof"}),
    (errors.ModuleLifecycleError, {"module_id": "proof"}),
    (errors.RecordRefusedError, {"module_id": "proof"}),
    (errors.SchemaVersionError, {"found": 7, "supported": 1}),
    (errors.CommitInDoubtError, {"first_seq": 5, "hashes": ("ab" * 32, "cd" * 32)}),
    (errors.ConflictError, {"existing_hash": "ab" * 32}),
]


def _drawn() -> dict[str, set[str]]:
    """Return the names of the parents of each class as the module's docstring draws them."""
    parents: dict[str, set[str]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?(\w+Error)(?: \((\w+)\))?", line)
        if match is None:
            continue
        depth = 0 if match[2] == "NucleusError" else len(match[1]) // 4 + 1
        above[depth:] = [match[2]]
        parents[match[2]] = {name for name in (above[depth - 1] if depth else None, match[3]) if name}
    return parents


def test_tree_is_as_it_is_drawn() -> None:
    actual = {cls.__name__: {base.__name__ for base in cls.__bases__ if base is not Exception} for cls in CLASSES}
    assert _drawn() == actual
    assert len(actual) == 20


def test_every_class_is_public() -> None:
    for cls in CLASSES:
        assert getattr(nucleus, cls.__name__) is cls
        assert cls.__name__ in nucleus.__all__


@pytest.mark.parametrize("cls", CLASSES)
def test_message_alone_is_enough(cls: type[NucleusError]) -> None:
    error = cls("what was wrong, where, and what to do")
    assert str(error) == "what was wrong, where, and what to do"
    assert error.args == ("what was wrong, where, and what to do",)
    assert not [value for value in vars(error).values() if value]


@pytest.mark.parametrize(("cls", "attributes"), ATTRIBUTES)
def test_attributes(cls: type[NucleusError], attributes: dict[str, Any]) -> None:
    error = cls("message", **attributes)
    assert vars(error) == attributes
    assert str(error) == "message"


@pytest.mark.parametrize("copied", [pickle.loads, copy.deepcopy, copy.copy])
@pytest.mark.parametrize(("cls", "attributes"), [*ATTRIBUTES, *((cls, {}) for cls in CLASSES)])
def test_pickling(cls: type[NucleusError], attributes: dict[str, Any], copied: Any) -> None:
    error = cls("message", **attributes)
    again = copied(pickle.dumps(error)) if copied is pickle.loads else copied(error)
    assert type(again) is cls
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_report_survives_pickling(ledger: Ledger) -> None:
    ledger.append(note(1), ALICE)
    report = ledger.verify(expected_length=5)
    again = pickle.loads(pickle.dumps(IntegrityError("message", report=report)))
    assert again.report.to_dict() == report.to_dict()
    assert not again.report.valid


def test_hashes_are_kept_as_a_tuple() -> None:
    assert errors.CommitInDoubtError("message", hashes=["ab" * 32]).hashes == ("ab" * 32,)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.InvalidRecordError, ValueError),
        (errors.UnknownModuleError, KeyError),
        (errors.AccessDeniedError, PermissionError),
    ],
)
def test_builtin_parents(cls: type[NucleusError], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match=r"^message$"):
        raise cls("message")
