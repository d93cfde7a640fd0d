"""`archdsl explain`: the catalogue of codes."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.diagnostics import CATALOGUE, did_you_mean


def explain(
    code: Annotated[
        str | None, typer.Argument(help="A code such as E302; all codes where it is left out.")
    ] = None,
) -> None:
    """Print the rule behind a code, with an example and its mending."""
    if code is None:
        for key, rule in sorted(CATALOGUE.items()):
            typer.echo(f"{key}  {rule.title}")
        return
    rule_or_none = CATALOGUE.get(code.upper())
    if rule_or_none is None:
        raise mistake(
            "E510",
            f"there is no code {code}",
            help=did_you_mean(code.upper(), CATALOGUE, "`archdsl explain` lists all codes"),
        )
    rule = rule_or_none
    text = "\n\n".join(textwrap.fill(p, 90) for p in rule.explanation.split("\n\n"))
    typer.echo(f"{code.upper()}: {rule.title}\n\n{text}\n")
    typer.echo(f"Wrong:\n{textwrap.indent(rule.wrong.rstrip(), '    ')}\n")
    typer.echo(f"Right:\n{textwrap.indent(rule.right.rstrip(), '    ')}")
