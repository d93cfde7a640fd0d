"""The command `archdsl`: finds the command asked for, imports its file and nothing else, reports mistakes."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from archdsl import __version__
from archdsl.cli.messages import mistake, report, usage_mistake
from archdsl.diagnostics import DiagnosticError, did_you_mean

COMMANDS = (
    "build",
    "check",
    "fmt",
    "show",
    "cost",
    "explain",
    "train",
    "run-once",
    "search",
    "report",
    "bench",
    "doctor",
)
"""Every command is the function of that name, or the group `app`, in the file of that name."""

INTERRUPTED = 130
BROKEN_PIPE = 141


class Commands(TyperGroup):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name.

        Raises:
            DiagnosticError: E510 where there is none.
        """
        if cmd_name not in COMMANDS:
            listed = f"the commands are {', '.join(COMMANDS)}"
            found = did_you_mean(cmd_name, COMMANDS, listed)
            raise mistake("E510", f"there is no command `{cmd_name}`", help=found)
        file = cmd_name.replace("-", "_")
        module = import_module(f"archdsl.cli.{file}")
        group = getattr(module, "app", None)
        if group is None:
            group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            group.command(cmd_name)(getattr(module, file))
        command = typer.main.get_command(group)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; a reader that went away ends it quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None
        return result


app = typer.Typer(
    cls=Commands, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"archdsl {__version__}")
        raise typer.Exit


@app.callback()
def archdsl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A language for vision backbones that mix scans, gated convolutions and attention."""


def run(arguments: Sequence[str]) -> int:
    """Runs a command line; returns the exit status.

    0: done; 1: a check found something (`fmt --check`); 2: a mistake of the user, told on stderr; 130:
    interrupted. Anything else that goes wrong is a bug and raises.
    """
    try:
        result = typer.main.get_command(app).main(
            args=list(arguments) or ["--help"], prog_name="archdsl", standalone_mode=False
        )
    except DiagnosticError as error:
        report(error.diagnostics)
        return 2
    except typer.TyperException as error:
        report((usage_mistake(error),))
        return 2
    except ValueError as error:
        ladder = sys.modules.get("archdsl.kernels.ladder")
        if ladder is None or not isinstance(error, ladder.KernelError):
            raise
        report(mistake("E512", str(error), help="`archdsl doctor` tells what serves here").diagnostics)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def main() -> None:
    """The console script."""
    gc.set_threshold(100_000)  # nearly all that a command allocates stays: a sixth of its start is saved
    sys.exit(run(sys.argv[1:]))
