"""E2: names, parameters and values."""

from __future__ import annotations

from archdsl.diagnostics.catalogue.rule import Rule

NAMES = {
    "E201": Rule(
        "A name is not known",
        "A text sees the parameters of its own definition, the lines above it, what its file defines and "
        "uses, the standard library and the operators. It does not see the parameters of what it calls or "
        "of who calls it.",
        "stage trunk { blocks = 4 x gated_cov }",
        "stage trunk { blocks = 4 x gated_conv }",
    ),
    "E202": Rule(
        "A call names a parameter that does not exist",
        "Named arguments are checked against the parameters of what is called, so that a slip of the pen "
        "does not silently leave the default in place.",
        "stage trunk { blocks = 4 x scan(stat = 8) }",
        "stage trunk { blocks = 4 x scan(state = 8) }",
    ),
    "E203": Rule(
        "An argument is missing",
        "A parameter without a default needs a value. In an arch or stage a setting of the same name "
        "gives it too. Only `dim`, `eps`, `drop_path` and `layer_scale` reach definitions without being "
        "passed on.",
        "stage trunk { blocks = 4 x attn }",
        "stage trunk { heads = 4; blocks = 4 x attn }",
    ),
    "E204": Rule(
        "A call has more arguments than there are parameters",
        "Arguments without a name are taken in the order in which the parameters stand.",
        "stem = patch_embed(16, dim) -> rms_norm(1e-6, off)",
        "stem = patch_embed(16, dim) -> rms_norm(1e-6)",
    ),
    "E205": Rule(
        "A value has the wrong type",
        "Numbers, `on` and `off`, texts, lists, words and networks are different things. Nothing is "
        "converted silently, but widths are: a fraction of channels is rounded down.",
        'stage trunk { blocks = 4 x scan(state = "big") }',
        "stage trunk { blocks = 4 x scan(state = 8) }",
    ),
    "E206": Rule(
        "Nothing takes a setting",
        "A setting of a stage or an arch is what calls written there leave out. One that no call takes "
        "has no effect, and is most often misspelt. Calls written inside a definition of their own do not "
        "see settings: the definition passes on what may vary.",
        "stage trunk { stat = 8; blocks = 4 x scan }",
        "stage trunk { state = 8; blocks = 4 x scan }",
    ),
    "E207": Rule(
        "A name is defined or given twice",
        "One name means one thing in one place: definitions of a file, parameters of a definition, lines "
        "of a body, arguments of a call.",
        "mixer halve(dim) = conv2d(3, dim, stride = 2)\n"
        "mixer halve(dim) = layer_norm -> conv2d(3, dim, stride = 2)\n"
        "\n"
        "stem = halve",
        "mixer halve(dim) = conv2d(3, dim, stride = 2)\n"
        "mixer halve_norm(dim) = layer_norm -> conv2d(3, dim, stride = 2)\n"
        "\n"
        "stem = halve -> halve_norm",
    ),
    "E208": Rule(
        "Definitions or files lead back to themselves",
        "An architecture is finite, so a definition, a variant or a `use` may not lead back to itself, "
        "not even through others. Repetition is written `4 x`.",
        "mixer ping(dim) = linear(dim) -> pong\n"
        "mixer pong = ping -> gelu\n"
        "\n"
        "stage trunk { blocks = 4 x metaformer(ping) }",
        "mixer ping(dim) = linear(dim) -> pong\n"
        "mixer pong = gelu\n"
        "\n"
        "stage trunk { blocks = 4 x metaformer(ping) }",
    ),
    "E209": Rule(
        "A file named by `use` is refused or not there",
        "`use` reads files beside or below the spec, and those shipped with archdsl. It does not leave "
        "that folder, whatever the path or a link says: a spec from a stranger must not read your files.",
        'use "../../etc/passwd"\n\nstage trunk { blocks = 4 x scan }',
        'use "mamba_r.arch"\n\nstage trunk { blocks = 4 x scan }',
    ),
    "E210": Rule(
        "A name is defined in two used files",
        "Neither file wins, so the name means nothing where it is used. A definition in the file itself "
        "would stand before both.",
        'use "mine.arch"\nuse "yours.arch"\n\nstem = halve -> halve',
        'use "mine.arch"\n\nstem = halve -> halve',
    ),
    "E211": Rule(
        "A variant or an override names a path that does not exist",
        "Paths are parameters (`dim`), settings (`norm`), settings of a stage (`s3.heads`) and what "
        "stands in its blocks (`s3.blocks[2].state`, counted after repeats). A `let` is no path.",
        "arch base(dim = 64) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}\n"
        "arch deep = base(s5.blocks = 8 x scan)",
        "arch base(dim = 64) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}\n"
        "arch deep = base(trunk.blocks = 8 x scan)",
    ),
    "E212": Rule(
        "What the author required does not hold",
        '`require condition, "why"` states what the parameters of an arch must satisfy. It is checked for '
        "every variant and override.",
        "let reduce = 5\n"
        'require dim % reduce == 0, "reduce must divide dim"\n'
        "stage trunk { blocks = 4 x scan }",
        "let reduce = 4\n"
        'require dim % reduce == 0, "reduce must divide dim"\n'
        "stage trunk { blocks = 4 x scan }",
    ),
    "E213": Rule(
        "A word is not one of the choices",
        "Where a parameter takes one of several words, the message lists them.",
        "stage trunk { blocks = 4 x scan(order = bth) }",
        "stage trunk { blocks = 4 x scan(order = both) }",
    ),
    "E214": Rule(
        "A parameter has the name of a slot",
        "`stem`, `head`, `downsample` and the other slots of an arch are settings with a meaning. A "
        "parameter of the same name would hide the slot, and nobody could tell which of the two is meant.",
        "arch small(dim = 64, head = layer_norm) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}",
        "arch small(dim = 64, last = layer_norm) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = last -> pool(mean) -> linear(classes)\n"
        "}",
    ),
    "E215": Rule(
        "An expression has no value",
        "Arithmetic is exact and works on numbers; `+` adds numbers or joins blocks, not one to the "
        "other; a division needs something to divide by; an index needs an element to find.",
        "stage trunk { blocks = 4 + scan }",
        "stage trunk { blocks = 4 x scan }",
    ),
    "E216": Rule(
        "A mixer stands where a block is expected, or the reverse",
        "A mixer computes something new from its input; a block adds residual branches to it and is what "
        "stages repeat. Stacked without residual branches, mixers would hardly train, so the two are kept "
        "apart.",
        "stage trunk { blocks = 4 x mamba(both) }",
        "stage trunk { blocks = 4 x metaformer(mamba(both)) }",
    ),
    "E217": Rule(
        "An arch lacks its stem, a stage or its head",
        "An arch goes from the image to the classes: `stem`, one stage or more, `head`. `head = none` "
        "makes a backbone without classifier.",
        "arch small(dim = 64) {\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}",
        "arch small(dim = 64) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}",
    ),
    "E218": Rule(
        "A number is out of bounds",
        "An arch has at most 10,000 blocks and 200,000 operators, 50,000 of them different; numbers stay "
        "below 10^18. The bounds are checked before anything is built, so that no spec can fill the "
        "memory.",
        "stage trunk { blocks = 1000000000000 x scan }",
        "stage trunk { blocks = 24 x scan }",
    ),
}
