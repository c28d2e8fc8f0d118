"""What makes the object of each configured module."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from nucleus._core import BUILT_IN_IDS
from nucleus.errors import ConfigError, ModuleError, UnknownModuleError
from nucleus.modules.config import Implementation, ModuleConfig

ENTRY_POINT_GROUP = "nucleus.modules"
"""Installed distributions offer modules in this group; the name is the module's id."""


def with_implementations(modules: Sequence[ModuleConfig]) -> list[ModuleConfig]:
    """Find the implementation of each module; only what is named here is ever imported.

    Raises:
        ConfigError: an item is not a :class:`ModuleConfig`.
        UnknownModuleError: there is no such module.
        ModuleError: an implementation is given for a built-in id, or the offered one cannot be loaded.
    """
    return [replace(module, implementation=_implementation(module)) for module in map(_checked, modules)]


def _checked(module: ModuleConfig) -> ModuleConfig:
    if not isinstance(module, ModuleConfig):
        raise ConfigError(f"modules holds a {type(module).__name__}; it takes ModuleConfig objects")
    return module


def _implementation(module: ModuleConfig) -> Implementation | None:
    if module.id in BUILT_IN_IDS:
        if module.implementation is not None:
            message = f"module `{module.id}` is built in and takes no implementation; choose another id"
            raise ModuleError(message, module_id=module.id)
        return None
    if module.implementation is not None:
        return module.implementation
    return _offered(module.id)


def _offered(id: str) -> Implementation:
    offers = [offer for offer in entry_points(group=ENTRY_POINT_GROUP) if offer.name == id]
    if not offers:
        known = ", ".join(sorted(BUILT_IN_IDS))
        raise UnknownModuleError(
            f"there is no module `{id}`: it is not built in ({known}) and no installed distribution offers it; "
            "give its class as implementation=, or install what offers it",
            module_id=id,
        )
    if len({offer.value for offer in offers}) > 1:
        where = " and ".join(sorted(_distribution(offer) for offer in offers))
        raise ModuleError(f"module `{id}` is offered by {where}; uninstall all but one of them", module_id=id)
    try:
        loaded: Implementation = offers[0].load()
    except Exception as error:
        place = f"{offers[0].value} of {_distribution(offers[0])}"
        raise ModuleError(f"module `{id}` could not be loaded from {place}: {error}", module_id=id) from error
    return loaded


def _distribution(offer: EntryPoint) -> str:
    return offer.dist.name if offer.dist is not None else "an unnamed distribution"
