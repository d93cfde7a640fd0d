"""The catalogue as a page, `docs/codes.md`; `make docs` writes it."""

from __future__ import annotations

from collections.abc import Mapping

from archdsl.diagnostics.catalogue import CATALOGUE, Rule

GROUPS = {
    "E1": "Syntax",
    "E2": "Names and parameters",
    "E3": "Shapes",
    "E4": "Searches",
    "E5": "Files, weights and commands",
}


def markdown(catalogue: Mapping[str, Rule]) -> str:
    """Every rule with its explanation and its example, in the order of the codes."""
    out = [
        "# Codes",
        "What each code says, as `archdsl explain CODE` prints it. This page is written by `make docs`.",
    ]
    for prefix, title in GROUPS.items():
        rules = {code: rule for code, rule in sorted(catalogue.items()) if code.startswith(prefix)}
        if rules:
            out.append(f"\n## {prefix}xx: {title}")
        for code, rule in rules.items():
            out += [
                f"\n### {code}: {rule.title}\n",
                rule.explanation,
                f"\nWrong:\n\n```text\n{rule.wrong}\n```",
                f"\nRight:\n\n```text\n{rule.right}\n```",
            ]
    return "\n".join([out[0], "", *out[1:]]) + "\n"


if __name__ == "__main__":
    print(markdown(CATALOGUE), end="")
