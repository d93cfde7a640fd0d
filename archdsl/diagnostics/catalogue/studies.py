"""E41x: studies, where they are kept and who works on them."""

from archdsl.diagnostics.catalogue.rule import Rule

STUDIES: dict[str, Rule] = {
    "E411": Rule(
        "The folder holds a study already",
        "A search does not write over a study that is there. `--resume` goes on with it, if it is of the "
        "same search: space, task, objectives, sampler, rungs and seeds must be as they were, while budget, "
        "limits and claims may change.",
        "archdsl search tiny_cpu      # a second time",
        "archdsl search tiny_cpu --resume",
    ),
    "E412": Rule(
        "Another driver works on this study",
        "One driver at a time writes to a study, and holds a lock for it. The lock goes when the driver ends "
        "or is killed. Looking at a study meanwhile, with `archdsl report`, takes no lock.",
        "archdsl search tiny_cpu --resume      # while the first one runs",
        "archdsl search tiny_cpu --out runs/second",
    ),
    "E413": Rule(
        "The study's storage cannot be used",
        "The database is locked by another program, its disk is full, it can't be written, or it is none. "
        "What was recorded before is safe: mend it and go on with `--resume`.",
        "archdsl search tiny_cpu --storage mysql://host/studies",
        "archdsl search tiny_cpu --storage postgresql://user@host/studies",
    ),
    "E417": Rule(
        "There is no study",
        "A study is a folder that a search has filled, with `study.db` in it, or a database given by a URL.",
        "archdsl report runs",
        "archdsl report runs/tiny_cpu",
    ),
}
