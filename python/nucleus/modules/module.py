"""The base class of modules written in Python."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from nucleus._core import ChainEntry, ModuleContext, Record


class Module:
    """A business rule that a ledger runs: derive from it and override the hooks that are needed.

    A ledger makes one instance for itself, with ``implementation(config)``, when it is opened. It calls ``init`` of
    all modules, then ``start`` of all, in the order of the configuration, and ``stop`` in reverse when it is closed.
    An exception in one of the first two keeps the ledger from opening.

    Hooks may run in any thread, ``after_append`` in several at once; ``before_append`` and ``before_redact`` run one at
    a time, inside the ledger's write transaction, so they should be quick. From there, as from ``init``, ``start`` and
    ``stop``, nothing can be written to the same ledger: that is refused with :class:`~nucleus.ConfigError`. Waiting in
    such a hook for another thread that writes to the ledger would wait without end.
    """

    streams: ClassVar[Sequence[str]] = ()
    """The streams whose records it rules."""
    resource_kind: ClassVar[str | None] = None
    """What a record of its streams is called where access to it is granted; None: the stream's own name."""
    indexed_fields: ClassVar[Sequence[str | tuple[str, ...]]] = ()
    """Top-level payload members of its streams that are indexed: a name, or a tuple of names for one index over all."""
    version: ClassVar[str | None] = None
    """The one version that this class implements; None leaves it to the configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def init(self, context: ModuleContext) -> None:
        """Prepare; the chain is loaded and verified."""

    def start(self, context: ModuleContext) -> None:
        """Begin; all modules are initialised."""

    def stop(self, context: ModuleContext) -> None:
        """End. An exception is counted in :attr:`~nucleus.ModuleInfo.failures` and keeps nothing from being closed."""

    def before_append(self, record: Record, context: ModuleContext) -> Record | None:
        """Complete or refuse a record that is about to be appended.

        Args:
            record: the record with its caller's own meta.
            context: who appends, and the ledger with the earlier records of the same batch; of no use after the hook.

        Returns:
            None to leave the record as it is, or a :class:`~nucleus.Record` with the same id, stream and timestamp and
            another payload or meta.

        Raises:
            Exception: any; the caller meets :class:`~nucleus.RecordRefusedError` with it as ``__cause__``.
        """

    def after_append(self, entry: ChainEntry, context: ModuleContext) -> None:
        """Take note of a durable entry. An exception is logged and counted; it cannot undo the entry."""

    def before_redact(self, entry: ChainEntry, context: ModuleContext) -> None:
        """Refuse, by an exception, the erasure of an entry's payload."""
