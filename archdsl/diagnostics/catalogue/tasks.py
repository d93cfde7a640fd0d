"""E4: what architectures are trained on."""

from __future__ import annotations

from archdsl.diagnostics.catalogue.rule import Rule

TASKS = {
    "E404": Rule(
        "A task or one of its arguments is wrong",
        "A task is a name, such as `digits`, with arguments that all have names and defaults. Installed "
        "packages can bring further tasks. Numbers have bounds, so that a slip does not start a training "
        "of a million epochs.",
        "archdsl train digits_hybrid --task 'digits(epoch = 20)'",
        "archdsl train digits_hybrid --task 'digits(epochs = 20)'",
    ),
}
