"""E4: searches."""

from __future__ import annotations

from archdsl.diagnostics.catalogue.rule import Rule

SEARCHES = {
    "E401": Rule(
        "A search lacks a setting",
        "A search names the architecture it varies, the task it trains on, what is to be made large or "
        "small, and, where it varies anything, the budget that ends it. The rest has defaults.",
        "search example {\n  arch = mambaout_femto(image = 32)\n  maximize = accuracy\n"
        "  vary { expand in one_of(2, 3) }\n  budget = trials(2)\n}",
        "search example {\n  arch = mambaout_femto(image = 32)\n  task = digits(epochs = 20)\n"
        "  maximize = accuracy\n  vary { expand in one_of(2, 3) }\n  budget = trials(2)\n}",
    ),
    "E402": Rule(
        "A search has no such setting",
        "Settings of a search are arch, task, maximize, minimize, sampler, stop, repeat, budget, limit and "
        "synchronous, each given once. Values of the architecture stand in its call.",
        "samples = tpe(seed = 1)",
        "sampler = tpe(seed = 1)",
    ),
    "E403": Rule(
        "A setting of a search has a wrong value",
        "Each setting takes a few forms, with numbers within bounds: times have a unit, rungs rise and "
        "end with the last epoch of the task, a grid needs a space that ends.",
        "stop = halving(rungs = [3, 9, 27])",
        "stop = halving(rungs = [3, 9, 20])",
    ),
    "E405": Rule(
        "A choice is wrong",
        "`one_of(a, b)` names at least one value, all different; `n x each ...` repeats a value with "
        "choices in it, so that every copy makes its own. Both stand in `vary` only.",
        "vary { s3.blocks in 2 x each scan }",
        "vary { s3.blocks in 2 x each one_of(scan, gated_conv) }",
    ),
    "E406": Rule(
        "A range is wrong",
        "A range goes from a smaller to a larger number, both included. With a step it has to end on one; "
        "with `log` it begins above 0 and has no step.",
        "vary { train.lr in 0 .. 3e-3 log }",
        "vary { train.lr in 1e-4 .. 3e-3 log }",
    ),
    "E407": Rule(
        "A place cannot be varied",
        "Varied are places of the architecture, as in variants, and fields of the task as `train.lr`. "
        "Classes and channels come from the task, and rungs count its epochs. A line goes over those above "
        "it, so none may undo another.",
        "vary { train.rate in 1e-4 .. 3e-3 log }",
        "vary { train.lr in 1e-4 .. 3e-3 log }",
    ),
    "E408": Rule(
        "A requirement of a search is wrong",
        "`require` is looked at before anything is trained: it knows `params` and `macs` of a candidate, "
        "and the lets of the search.",
        "require parameters <= 4M",
        "require params <= 40M",
    ),
    "E409": Rule(
        "A claim is malformed",
        "A line of a claim compares one metric of two variants of the base, one of them perhaps plus a "
        "number: `a > b` or `a < b`. It is judged over pairs of runs with the same seeds.",
        'claim "wide is better" { accuracy(expand = 3) }',
        'claim "wide is better" { accuracy(expand = 3) > accuracy(expand = 2) }',
    ),
    "E410": Rule(
        "No point of the space is valid",
        "Before a search starts all points of its space are looked at at once; where the space does not "
        "factor by stages, all of a small one are tried. Where shapes fit at no point, or no architecture "
        "meets `require`, nothing could be trained.",
        "require params <= 10",
        "require params <= 1M",
    ),
    "E414": Rule(
        "An executor cannot start",
        "`local` starts a process for each worker and `ray` connects to a Ray cluster or starts one. Where "
        "processes end before they are ready, or the cluster does not answer, nothing is evaluated; the "
        "message ends with the last lines that they wrote.",
        "archdsl search tiny_cpu --executor slurm",
        "archdsl search tiny_cpu --executor local",
    ),
    "E415": Rule(
        "A mixer sees few tokens",
        "Attention and scans over fewer than 16 tokens do little, so a comparison of mixers there says "
        "little about them. The size of the map comes from the image, the stem and the downsamples, and "
        "within windows from their size.",
        "vary { s4.blocks in one_of(scan, gated_conv) }",
        "vary { s1.blocks in one_of(scan, gated_conv) }",
    ),
    "E416": Rule(
        "The budget, the sampler or the rungs hardly fit the space",
        "More trials than points, a grid that is not covered, halving with too few trials to choose from, "
        "claims over one seed: the search would run, but hardly as meant.",
        "budget = trials(100)",
        "budget = trials(2)",
    ),
    "E420": Rule(
        "Some points of the space do not compile",
        "These alternatives fit where others are chosen, but never together: the place is the last of them "
        "on the way through the architecture, the notes name the others. No smaller set of choices is to "
        "blame. Such points are refused when they are proposed, which costs next to nothing.",
        "vary {\n  image     in one_of(64, 96)\n"
        "  s2.blocks in one_of(conv, window_attn(heads = 2, window = 8))\n}",
        "vary {\n  image     in one_of(64, 128)\n"
        "  s2.blocks in one_of(conv, window_attn(heads = 2, window = 8))\n}",
    ),
    "E421": Rule(
        "A domain names what it cannot",
        "A value behind `in` may name the path of another line, and stands for what that line draws. It "
        "has to be varied, be no list of blocks, mean the same in both places, and lead to no circle. "
        "Places of the architecture name each other, and fields of the task do.",
        "vary { s1.expand in one_of(2, 3);  s2.expand in one_of(s1.expant, 4) }",
        "vary { s1.expand in one_of(2, 3);  s2.expand in one_of(s1.expand, 4) }",
    ),
}
