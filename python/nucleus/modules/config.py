"""Which modules a ledger runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nucleus.errors import ConfigError

Implementation = Callable[[dict[str, Any]], Any]
"""Makes a module's object of its settings."""


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

    Raises:
        ConfigError: an argument is of another type, or ``id`` is empty.
    """

    id: str
    version: str
    config: Mapping[str, Any] = field(default_factory=dict)
    implementation: Implementation | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise ConfigError(f"the id of a module must be a non-empty string, not {self.id!r}")
        if not isinstance(self.version, str):
            raise ConfigError(f"the version of module `{self.id}` must be a string, not {self.version!r}")
        # Settings may hold secrets: only their type is named.
        if not isinstance(self.config, Mapping):
            raise ConfigError(f"config of module `{self.id}` must be a mapping, not {type(self.config).__name__}")
        if self.implementation is not None and not callable(self.implementation):
            given = type(self.implementation).__name__
            raise ConfigError(f"implementation of module `{self.id}` must be a class or a function, not {given}")
