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
    "E418": Rule(
        "Images cannot be read",
        "`imagefolder` reads `train/` and `val/` below its path, and `test/` where there is one, each with a "
        "folder of images for every class. The message names the folder or the file that is missing, empty "
        "or no image.",
        "archdsl train mambaout_femto --task 'imagefolder(path = \"photos/train\")'",
        "archdsl train mambaout_femto --task 'imagefolder(path = \"photos\")'",
    ),
    "E419": Rule(
        "A training cannot go on",
        "The loss became infinite or not a number, or memory ran out. In a search such a trial is recorded "
        "as failed and the search goes on; a training of its own ends.",
        "archdsl train digits_hybrid --task 'digits(lr = 100, optimizer = sgd, clip = none)'",
        "archdsl train digits_hybrid --task 'digits(lr = 1e-3)'",
    ),
}
