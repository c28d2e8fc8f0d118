"""What Python sees of the modules that a ledger runs."""

from collections.abc import Iterator
from typing import Any, Literal, TypeVar, overload

from nucleus._core import ModuleInfo
from nucleus.backend import LedgerBackend
from nucleus.errors import ConfigError, UnknownModuleError
from nucleus.modules.asset import Assets
from nucleus.modules.connect import ConnectGrants
from nucleus.modules.handles import HANDLES
from nucleus.modules.module import Module
from nucleus.modules.proof import Proofs
from nucleus.modules.token import Tokens

M = TypeVar("M", bound=Module)


class Modules:
    """The modules of one ledger, in the order they were registered. They come from its configuration alone."""

    def __init__(self, backend: LedgerBackend) -> None:
        self._backend = backend

    def list(self) -> list[str]:
        """Return the ids."""
        return [info.id for info in self._backend.modules()]

    @overload
    def get(self, id: Literal["proof"]) -> Proofs: ...
    @overload
    def get(self, id: Literal["asset"]) -> Assets: ...
    @overload
    def get(self, id: Literal["token"]) -> Tokens: ...
    @overload
    def get(self, id: Literal["connect"]) -> ConnectGrants: ...
    @overload
    def get(self, id: type[M]) -> M: ...
    @overload
    def get(self, id: str) -> Any: ...
    def get(self, id: str | type[Module]) -> Any:
        """Return the typed handle of a built-in module, or the object of a module written in Python.

        Args:
            id: the module's id; or the class of a module written in Python, for an object of that type.

        Raises:
            UnknownModuleError: the ledger runs no module with this id, or of this class.
            ConfigError: it runs several of this class; name one by its id.
        """
        if isinstance(id, type):
            return self._of_class(id)
        implementation = self._backend.implementation(id)
        return HANDLES[id](self._backend) if implementation is None else implementation

    def _of_class(self, wanted: type[Module]) -> Module:
        objects = {name: self._backend.implementation(name) for name in self.list()}
        found = {name: module for name, module in objects.items() if isinstance(module, wanted)}
        if len(found) > 1:
            raise ConfigError(
                f"modules {', '.join(found)} are all a {wanted.__name__}; get the one that is meant by its id"
            )
        if not found:
            raise UnknownModuleError(
                f"the ledger runs no module of class {wanted.__name__} (it runs: {', '.join(objects) or 'none'}); "
                "name it in create_ledger(modules=[...])",
                module_id=wanted.__name__,
            )
        return next(iter(found.values()))

    def info(self, id: str) -> ModuleInfo:
        """Return what is known of a module: version, state, when it was registered, what failed.

        Raises:
            UnknownModuleError: the ledger runs no module with this id.
        """
        infos = self._backend.modules()
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
        return len(self._backend.modules())

    def __repr__(self) -> str:
        return f"<Modules of ledger {self._backend.id!r}: {', '.join(self.list()) or 'none'}>"
