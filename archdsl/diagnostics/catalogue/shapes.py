"""E3: shapes."""

from __future__ import annotations

from archdsl.diagnostics.catalogue.rule import Rule

SHAPES = {
    "E301": Rule(
        "The widths of two neighbours do not fit",
        "A stage works at one width, `dim`. Where it differs from what enters, a `downsample` changes it; "
        "it is evaluated in the stage that is entered. Branches that are added or multiplied have equal "
        "widths.",
        "stem = patch_embed(4, 32)\n"
        "stage s1 { dim = 32; blocks = 2 x gated_conv }\n"
        "stage s2 { dim = 64; blocks = 2 x gated_conv }",
        "mixer halve(dim) = conv2d(3, dim, stride = 2)\n"
        "\n"
        "stem = patch_embed(4, 32)\n"
        "downsample = halve\n"
        "stage s1 { dim = 32; blocks = 2 x gated_conv }\n"
        "stage s2 { dim = 64; blocks = 2 x gated_conv }",
    ),
    "E302": Rule(
        "A window does not divide the feature map",
        "Windows cut height and width without remainder. Where they cannot, choose a window that does, or "
        "`pad = on`: zeros then fill the windows at the right and bottom, and are tokens like others "
        "inside.",
        "stage trunk { heads = 4; window = 12; blocks = 4 x window_attn }",
        "stage trunk { heads = 4; window = 7; blocks = 4 x window_attn }",
    ),
    "E303": Rule(
        "The heads do not divide the channels",
        "Attention gives every head the same number of channels, so their number divides the width at "
        "which it works.",
        "stage trunk { heads = 5; blocks = 4 x attn }",
        "stage trunk { heads = 4; blocks = 4 x attn }",
    ),
    "E304": Rule(
        "An operator needs a map or tokens and receives something else",
        "Convolutions, windows and routes along columns need patches on a grid; scans and attention need "
        "at least a list of tokens. Behind `pool` or `take(class_token)` there is a single vector, behind "
        "`take(registers)` a list without places.",
        "head = layer_norm -> pool(mean) -> conv2d(3) -> linear(classes)\nstage trunk { blocks = 4 x scan }",
        "head = layer_norm -> conv2d(3) -> pool(mean) -> linear(classes)\nstage trunk { blocks = 4 x scan }",
    ),
    "E305": Rule(
        "Extra tokens are missing, or are there twice",
        "`take(registers)` and `take(class_token)` take what the stem put in; each kind is put in once.",
        "stem = patch_embed(16, dim)\n"
        "stage trunk { blocks = 4 x scan }\n"
        "head = layer_norm -> take(registers) -> concat -> linear(classes)",
        "stem = patch_embed(16, dim) -> registers(8)\n"
        "stage trunk { blocks = 4 x scan }\n"
        "head = layer_norm -> take(registers) -> concat -> linear(classes)",
    ),
    "E306": Rule(
        "Channels cannot be divided as asked",
        "`split` gives each branch the same number of channels, `partial` works on some of those there "
        "are, `concat(reduce)` divides the width of each token, a convolution's groups divide its "
        "channels.",
        "stem = patch_embed(16, dim) -> registers(8)\n"
        "stage trunk { blocks = 4 x scan }\n"
        "head = layer_norm -> take(registers) -> concat(reduce = 5) -> linear(classes)",
        "stem = patch_embed(16, dim) -> registers(8)\n"
        "stage trunk { blocks = 4 x scan }\n"
        "head = layer_norm -> take(registers) -> concat(reduce = 4) -> linear(classes)",
    ),
    "E307": Rule(
        "Something changes the shape that must keep it",
        "A residual branch is added to its input, so it returns the shape it receives. The same holds for "
        "what runs along a route or inside windows, as far as tokens go, for the blocks of a stage, and for "
        "the `feature_norm` of its maps.",
        "block wide { residual linear(100) -> gelu }\n\nstage trunk { blocks = 4 x wide }",
        "block wide(dim) { residual linear(100) -> gelu -> linear(dim) }\n"
        "\n"
        "stage trunk { blocks = 4 x wide }",
    ),
    "E308": Rule(
        "The image or the map is too small",
        "A patch or a convolution needs at least one place to stand. Maps shrink from stage to stage: a "
        "model with strides of 32 in all needs an image to match.",
        "image = 32\nstem = patch_embed(64, dim)\nstage trunk { blocks = 4 x scan }",
        "image = 128\nstem = patch_embed(64, dim)\nstage trunk { blocks = 4 x scan }",
    ),
    "E309": Rule(
        "The head does not end at the classes",
        "The head returns one vector of as many numbers as there are classes: patches are pooled or "
        "tokens taken, and a `linear(classes)` stands near the end.",
        "head = layer_norm -> pool(mean)\nstage trunk { blocks = 4 x scan }",
        "head = layer_norm -> pool(mean) -> linear(classes)\nstage trunk { blocks = 4 x scan }",
    ),
    "E310": Rule(
        "A size is out of bounds",
        "Widths go from 1 to 1,000,000, images to 16,384 pixels a side, a whole architecture to 10^12 "
        "parameters. Sizes are checked before anything is allocated.",
        "image = 100K\nstage trunk { blocks = 4 x scan }",
        "image = 384\nstage trunk { blocks = 4 x scan }",
    ),
}
