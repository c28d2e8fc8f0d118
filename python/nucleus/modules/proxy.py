"""What Python sees of the modules that a ledger runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

from nucleus._core import ModuleInfo
from nucleus.errors import UnknownModuleError
from nucleus.modules.asset import Assets
from nucleus.modules.connect import ConnectGrants
from nucleus.modules.proof import Proofs
from nucleus.modules.token import Tokens

if TYPE_CHECKING:
    from nucleus.ledger import Ledger

_HANDLES: Mapping[str, Callable[[Ledger], Any]] = MappingProxyType(
    {"proof": Proofs, "asset": Assets, "token": Tokens, "connect": ConnectGrants}
)


class Modules:
    """The modules of one ledger, in the order they were registered. They come from its configuration alone."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def list(self) -> list[str]:
        """Return the ids."""
        return [info.id for info in self._ledger._engine.modules()]

    @overload
    def get(self, id: Literal["proof"]) -> Proofs: ...
    @overload
    def get(self, id: Literal["asset"]) -> Assets: ...
    @overload
    def get(self, id: Literal["token"]) -> Tokens: ...
    @overload
    def get(self, id: Literal["connect"]) -> ConnectGrants: ...
    @overload
    def get(self, id: str) -> Any: ...
    def get(self, id: str) -> Any:
        """Return the typed handle of a built-in module, or the object of a module written in Python.

        Raises:
            UnknownModuleError: the ledger runs no module with this id.
        """
        implementation = self._ledger._engine.implementation(id)
        return _HANDLES[id](self._ledger) if implementation is None else implementation

    def info(self, id: str) -> ModuleInfo:
        """Return what is known of a module: version, state, when it was registered, what failed.

        Raises:
            UnknownModuleError: the ledger runs no module with this id.
        """
        infos = self._ledger._engine.modules()
        for info in infos:
            if info.id == id:
                return info
        known = ", ".join(info.id for info in infos) or "none"
        raise UnknownModuleError(
            f"the ledger runs no module `{id}` (it runs: {known}); name it in create_ledger(modules=[...])",
            module_id=id,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.list())

    def __contains__(self, id: object) -> bool:
        return id in self.list()

    def __len__(self) -> int:
        return len(self._ledger._engine.modules())

    def __repr__(self) -> str:
        return f"<Modules of {self._ledger!r}: {', '.join(self.list()) or 'none'}>"
