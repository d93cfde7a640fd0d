"""E1: how a text is written."""

from __future__ import annotations

from archdsl.diagnostics.catalogue.rule import Rule

SYNTAX = {
    "E101": Rule(
        "The text is not what the language expects at this place",
        "An .arch file is a sequence of `use`, `let`, `mixer`, `block` and `arch`, a .search file one of "
        "`use`, `let` and `search`; bodies stand in braces, values are given with `=`, parts of a network "
        "are joined with `->`, and what may stand in a varied place is written behind `in`. Names are "
        "written in small letters, digits and `_`, so that a name in a spec is also a name in Python, in a "
        "checkpoint and on the command line.",
        "norm rms_norm",
        "norm = rms_norm",
    ),
    "E102": Rule(
        "A bracket or a text is not closed, or closes nothing",
        "Every `(`, `[` and `{` needs its counterpart. Inside round and square brackets a newline is "
        "space, so a missing one would swallow the lines below; it is reported where the bracket opens. A "
        "text in double quotes ends on the line where it begins.",
        "stem = patch_embed(16, dim",
        "stem = patch_embed(16, dim)",
    ),
    "E103": Rule(
        "A word of the language is used as a name",
        "The words of the language (`arch`, `block`, `mixer`, `stage`, `let`, `require`, `residual`, "
        "`use`, `and`, `or`, `not`, `x`, `each`, `on`, `off`, `none`, `same`, `in`, `vary`, `search`, "
        "`claim`) have one meaning everywhere; only `arch` is also a setting, of a search. `x` "
        "is repetition: `4 x scan`.",
        "stage trunk { let x = 2; blocks = 4 x scan }",
        "stage trunk { let pairs = 2; blocks = (2 * pairs) x scan }",
    ),
    "E104": Rule(
        "The file is not text in UTF-8",
        "Specs are text in UTF-8, without zero bytes. A file in another encoding, or a picture or "
        "checkpoint given in the place of a spec, is refused before anything in it is read.",
        "archdsl check photo.jpg",
        "archdsl check mamba_r.arch",
    ),
    "E105": Rule(
        "The file is too large, too long or nested too deep",
        "A spec has at most 1,000,000 bytes and 200,000 words and signs, and its brackets nest at most "
        "100 deep. The largest published architecture needs a hundredth of that. The bounds keep a check "
        "fast and small whatever file it is given.",
        "archdsl check all_my_specs.arch",
        "archdsl check one_of_my_specs.arch",
    ),
    "E106": Rule(
        "A number is not written as numbers are",
        "Numbers look like `8`, `2.5`, `1e-5`, `4M` or `10ms`: digits, one decimal point, an exponent, a "
        "suffix (K, M, G, T; us, ms, s, min, h). A number ends where a blank or a sign stands, so "
        "repetition needs blanks around its `x`.",
        "stage trunk { blocks = 4xscan }",
        "stage trunk { blocks = 4 x scan }",
    ),
    "E107": Rule(
        "A statement stands where it cannot",
        "Definitions (`mixer`, `block`, `arch`) and `use` stand at the top of a file; settings, `require` "
        "and `stage` in an arch; settings and `require` in a stage; pipelines and `residual` in a block. "
        "`let` may stand in all of them. Searches stand in files of their own, whose names end in .search: "
        "`search` and `use` at the top; settings, `let`, `vary`, `require` and `claim` in a search; what is "
        "varied in `vary`, comparisons in `claim`.",
        "stage trunk { blocks = 4 x scan }\n"
        "\n"
        "arch small(dim = 64) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}",
        "arch small(dim = 64) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = 4 x scan }\n"
        "  head = layer_norm -> pool(mean) -> linear(classes)\n"
        "}",
    ),
}
