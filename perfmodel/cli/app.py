"""The application: its commands, and how every error becomes one line and an exit code."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from perfmodel.cli.command import Command, as_given
from perfmodel.cli.examples import EXAMPLES, epilog
from perfmodel.errors import PerfmodelError

#: What a usage error, an unknown name or a file that is wrong exits with.
BAD_INPUT = 2

HELP = (
    "Which server CPU runs this PyTorch model fastest, and why?\n\n"
    "An analytical model: the kernels traced from a module, on CPUs described by their data sheets "
    "and by public measurements. Nothing is executed and no weights are needed.\n\n"
    "A multiply-accumulate counts as 2 FLOPs. Each figure of a CPU is in a TOML file beside its "
    "unit, source and confidence; estimates are uncalibrated unless the CPU's file was fitted to "
    "measurements (calibrate). The published "
    "method reproduces the comparison of 2025-10-24, known errors included, to compare with."
)


class Application(TyperGroup):
    """Turns errors that a user can mend into one line on stderr."""

    def get_params(self, ctx: Any) -> Any:
        """Return the options beside the commands."""
        return as_given(super().get_params(ctx))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and exit: 0, 1 (output cannot be written), 2 (bad input) or 130."""
        standalone = kwargs.get("standalone_mode", True)
        kwargs["standalone_mode"] = False
        if not standalone:
            return super().main(*args, **kwargs)
        try:
            with _plain_warnings():
                code = super().main(*args, **kwargs)
        except PerfmodelError as error:
            _fail(str(error))
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)
            hint = f" (see {context.command_path} --help)" if context else ""
            # Typer's own coercion marks its messages so.
            message = error.format_message().replace("Value error, ", "").rstrip(".")
            _fail(f"{message}{hint}", error.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


NAME: Final = "perfmodel"
#: In the order of the help; each is a function in the module of its name.
COMMANDS: Final = tuple(EXAMPLES)


def application(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the application with these of its ``commands``, of which each costs an import."""
    made = typer.Typer(
        cls=Application,
        name=NAME,
        help=HELP,
        pretty_exceptions_enable=False,
        # Help without Rich: its import takes three times as long as all else that a help needs.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(root)
    for name in commands:
        command = getattr(import_module(f"perfmodel.cli.{name}"), name)
        made.command(cls=Command, epilog=epilog(name))(command)
    return made


def asked() -> typer.Typer:
    """Return the application with the command that the process names first, or with all."""
    return application([name for name in sys.argv[1:2] if name in COMMANDS] or COMMANDS)


def _show_version(asked: bool) -> None:
    if asked:
        from perfmodel import __version__

        typer.echo(f"perfmodel {__version__}")
        raise typer.Exit


def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Without a command, show the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


root.__doc__ = HELP


def main() -> None:
    """Run what the process was asked for."""
    asked()(prog_name=NAME)


def _fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    line = " ".join(message.split())
    print(f"perfmodel: error: {line}", file=sys.stderr)
    sys.exit(code)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Show the package's own warnings as one line, without the place in the code."""
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        from perfmodel.cache import CacheWarning

        if issubclass(category, CacheWarning):
            print(f"perfmodel: warning: {message}", file=sys.stderr)
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown
