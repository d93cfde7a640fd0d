"""The operators as a page, `docs/operators.md`; `make docs` writes it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from archdsl.ops import find, names


def markdown() -> str:
    """Every built-in operator with its parameters, from its docstring, and its source."""
    out = [
        "# Operators\n",
        "The primitives and combinators of the language, one file each in `archdsl/ops`. A parameter named",
        "like a setting takes its value from there where a call leaves it out: [language.md](language.md).",
        "This page is written by `make docs`.",
        "",
        "An operator of an installed package is one through an entry point of the group `archdsl.ops`.",
        "What its module keeps in training it tells in `Op.trace`, with functions of `archdsl.tape` that",
        "stand for those of PyTorch; `archdsl.testing.check_op` compares that with what autograd saves. One",
        "that does not tell counts as keeping its input, its output and what its parts keep.",
    ]
    for name in sorted(names()):
        op = find(name)
        if op is None or not op.__module__.startswith("archdsl.ops.") or name == "chain":
            continue
        out.append(f"\n## {name}\n")
        out += _lines(inspect.getdoc(op) or "")
        out.append(f"\nSource: {op.source}.")
    return "\n".join(out) + "\n"


def _lines(text: str) -> Iterator[str]:
    """A docstring as Markdown: the lines under `Args:` become a list."""
    arguments = False
    for line in text.splitlines():
        if line.rstrip() == "Args:":
            arguments = True
            yield "Parameters:\n"
        elif arguments and (found := re.match(r" {4}(\w[\w, *]*): (.*)", line)):
            yield f"- `{found[1]}`: {found[2]}"
        elif arguments and line.startswith(" "):
            yield f"  {line.strip()}"
        else:
            arguments = arguments and not line.strip()
            yield line


if __name__ == "__main__":
    print(markdown(), end="")
