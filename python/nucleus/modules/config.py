"""Which modules a ledger runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """A module that a ledger runs.

    Args:
        id: the module's id, e.g. ``"proof"``.
        version: the version that the configuration was written for, e.g. ``"1.0.0"``; another one is refused.
        config: the module's own settings, a JSON object.
        implementation: for a module written in Python: its class, or anything that makes a
            :class:`~nucleus.Module` of ``config``. None for a built-in module, or for one that an installed
            distribution offers under this id in the entry-point group ``nucleus.modules``.
    """

    id: str
    version: str
    config: Mapping[str, Any] = field(default_factory=dict)
    implementation: Callable[[Mapping[str, Any]], Any] | None = None
