"""How a command fails: a readable line on standard error, exit code 1; with ``--json`` an object on standard output."""

import errno
from typing import IO, Any, Self

import click

from nucleus._core import VerificationReport
from nucleus.cli.output import echo_json, printable
from nucleus.errors import NucleusError


class Failure(click.ClickException):
    """The end of a command that was refused.

    Args:
        message: what was wrong, in one line.
        kind: name of the exception class, for programs.
        details: what else programs should know, as JSON.
        lines: more lines for people.
        as_json: whether programs are told as well.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        kind: str = "NucleusError",
        details: dict[str, Any] | None = None,
        lines: tuple[str, ...] = (),
        as_json: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details or {}
        self.lines = lines
        self.as_json = as_json

    @classmethod
    def of(cls, error: NucleusError, *, suffix: str = "", **details: Any) -> Self:
        """Make the failure that an exception of the library ends in."""
        attributes = {name: _as_json(value) for name, value in vars(error).items() if value is not None}
        return cls(f"{error}{suffix}", kind=type(error).__name__, details=attributes | details)

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the failure to standard error, and for programs to standard output."""
        if self.as_json:
            echo_json({"error": {"type": self.kind, "message": self.message} | self.details})
        click.echo(f"error: {printable(self.message)}", err=True)
        for line in self.lines:
            click.echo(f"  {printable(line)}", err=True)


class Command(click.Command):
    """A command whose exceptions become failures."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            failed = failure
        except NucleusError as error:
            failed = Failure.of(error)
        except OSError as error:
            # The reader of our output has gone: click ends the command quietly.
            if error.errno == errno.EPIPE:
                raise
            failed = Failure(_describe(error), kind=type(error).__name__)
        failed.as_json = ctx.params.get("as_json", False)
        raise failed


def _describe(error: OSError) -> str:
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or error}"


def _as_json(value: object) -> object:
    return value.to_dict() if isinstance(value, VerificationReport) else value
