"""Values that are missing, side by side or wrongly separated."""

from __future__ import annotations

from lark import Token

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.foreign import foreign_word
from archdsl.lang.mistakes.situation import (
    CLOSERS,
    CONDITIONS,
    ENDS_VALUE,
    OPERATORS,
    VALUES,
    Situation,
    expected_text,
    found_text,
)

_UNITS = {"ms", "us", "s", "min", "h"}
_COUNTED = {"trials", "epochs", "seeds"}


def missing_value(s: Situation) -> Diagnostic | None:
    """Operators and `=` with nothing behind them, commas with nothing between."""
    token, before = s.near(0), s.near(-1)
    if before.type == "PERCENT" and s.near(-2).type == "NUMBER" and token.type not in VALUES:
        return s.tell(
            "there is no percent sign",
            "`%` is the remainder of a division",
            f"write {_percent(s.near(-2))}",
            token=before,
        )
    if token.type in ("EQUALS", "IN") and before.type == "NAME" and s.near(-2).type == "EQUALS":
        late = s.near(-2)
        if late.line != before.line:
            return s.tell(
                "a value is missing",
                "nothing stands behind this `=`",
                f"write a value behind `{s.near(-3)} =`",
                token=late,
            )
    if token.type not in {"END", "$END", "COMMA", *CLOSERS, "RBRACE"} or "NUMBER" not in s.accepts:
        return None
    if before.type == "REQUIRE":
        return s.tell(
            "`require` needs a condition", "expected a condition behind it", "write `require a == b`"
        )
    if before.type == "RESIDUAL":
        return s.tell(
            "`residual` has nothing to add",
            "expected a pipeline behind it",
            "write `residual norm -> mlp(4)`",
        )
    if before.type == "ARROW" and token.type == "END":
        return s.tell(
            "the pipeline ends in `->`",
            "expected a part behind it",
            "delete it, or begin the next line with `->`",
            token=before,
        )
    if before.type in ("IN", "RANGE"):
        found = "" if token.type == "END" and not token else f"found {found_text(token)}, "
        instead = (
            "`one_of(a, b)`, or a range such as `4 .. 16`" if before.type == "IN" else "a number behind `..`"
        )
        return s.tell("a value is missing", f"{found}expected a value behind `{before}`", f"write {instead}")
    if before.type in OPERATORS | CONDITIONS | {"EQUALS", "EACH"}:
        found = "" if token.type == "END" and not token else f"found {found_text(token)}, "
        return s.tell(
            "a value is missing",
            f"{found}expected a value behind `{before}`",
            "write a value" if before.type == "EQUALS" else f"write a value behind `{before}`, or delete it",
        )
    if token.type == "COMMA":
        return s.tell("a value is missing", "nothing stands before this `,`", "delete the `,`")
    if before.type == "LSQB" and token.type == "RSQB":
        return s.tell(
            "an index is missing", "expected a value between `[` and `]`", "write `[0]` or `[a..b]`"
        )
    if before.type == "LPAR" and token.type == "RPAR":
        return s.tell(
            "a value is missing", "nothing stands between `(` and `)`", "write a value, or delete them"
        )
    return None


def _percent(number: Token) -> str:
    try:
        return f"`{float(number) / 100:g}`"
    except ValueError:
        return "the fraction itself, such as `0.5`"


def separator(s: Situation) -> Diagnostic | None:
    token = s.near(0)
    depth = sum(t.type in ("LPAR", "LSQB") for t in s.line[: s.at])
    depth -= sum(t.type in CLOSERS for t in s.line[: s.at])
    another = s.near(1).type == "NAME" and s.near(2).type == "EQUALS"
    if token.type == "COMMA" and not depth and "END" in s.accepts and s.body == "SEARCH" and not another:
        return s.tell(
            "several values stand in a list", "found `,`, expected the end of the line", "write `[a, b]`"
        )
    if token.type == "COMMA" and not depth and "END" in s.accepts:
        return s.tell(
            "comparisons are not separated by `,`"
            if s.body == "CLAIM"
            else "settings are not separated by `,`",
            "found `,`, expected the end of the line",
            "write `;`, or begin a new line",
        )
    if token.type == "END" and depth:
        return s.tell("`;` can't stand in brackets", "found `;`, expected `,`", "write `,`")
    if token.type in ("RBRACE", "LBRACE"):
        label = "braces hold the bodies of archs, stages and blocks"
        if s.search:
            label = "braces hold the bodies of search, vary and claim"
        return s.tell(f"unexpected `{token}`", label, "use `( )` for arguments and `[ ]` for lists")
    return None


def operator(s: Situation) -> Diagnostic | None:
    token, before = s.near(0), s.near(-1)
    if token.type not in OPERATORS | {"DOT", "RANGE"}:
        return None
    if token.type == "STAR" and before.type == "STAR":
        return s.tell("there is no power operator", "found `**`", "write the product: `n * n`", token=before)
    if token.type == "DOT" and s.near(1).type == "NUMBER":
        return s.tell("a number begins with a digit", "found `.`", f"write `0.{s.near(1)}`", code="E106")
    if token.type == "RANGE":
        if s.search:
            label = "it stands in an index, and between the ends of a range behind `in`"
            return s.tell("`..` is not allowed here", label, "write `s3.heads in 2 .. 8` in `vary { ... }`")
        return s.tell("`..` is not allowed here", "it stands in an index", "write `depths[1..3]`")
    if token.type == "ARROW" and before.type == "ARROW":
        return s.tell("a part is missing", "nothing stands between two `->`", "delete one of them")
    if "NUMBER" in s.accepts:
        left = f"behind {found_text(before)}" if before.type else "before it"
        return s.tell(
            f"unexpected `{token}`", f"expected a value {left}", "an operator stands between two values"
        )
    return None


def adjacent(s: Situation) -> Diagnostic | None:
    """Two values side by side."""
    token, before = s.near(0), s.near(-1)
    if token.type not in VALUES or before.type not in ENDS_VALUE | {"RBRACE"}:
        return None
    if before.type == "NUMBER" and token in _UNITS:
        return s.tell(
            "a unit stands right behind its number",
            f"found a blank before `{token}`",
            f"write `{before}{token}`",
        )
    if before.type == "NUMBER" and token in _COUNTED and s.search:
        return s.tell(
            "an operator is missing",
            f"found {found_text(token)} behind `{before}`",
            f"write `{token}({before})`",
        )
    if instead := foreign_word(token, s.search):
        return s.tell(f"the language has no `{token}`", f"found `{token}` behind a value", instead)
    if s.near(1).type == "EQUALS" and "END" in s.accepts:
        return s.tell(
            f"unexpected `{token}`",
            "this begins another setting",
            f"begin a new line before `{token}`, or write `;`",
        )
    if "COMMA" in s.accepts and not s.accepts & {"END"}:
        named = " or `=`" if "EQUALS" in s.accepts and before.type == "NAME" else ""
        return s.tell(
            "`,` is missing",
            f"found {found_text(token)}, expected {_listed(s)}",
            f"write `,`{named} before `{token}`",
        )
    if s.line[0].type == "REQUIRE" and token.type == "STRING":
        return s.tell(
            "`,` is missing", f"found {found_text(token)}, expected `,`", f"write `,` before {token}"
        )
    if before.type == "NUMBER" and token.type in ("NAME", "LPAR"):
        return s.tell(
            "an operator is missing",
            f"found {found_text(token)} behind `{before}`",
            f"write `{before} x {token}`{'...' if token == '(' else ''} to repeat, `*` to multiply",
        )
    if before.type == "RBRACE":
        return s.tell(
            f"unexpected {found_text(token)}",
            "expected the end of the line",
            "begin a new line, or write `;`",
        )
    return s.tell(
        f"unexpected {found_text(token)}",
        f"two values side by side; {expected_text(s)}",
        "join parts with `->`; begin a new line for the next setting",
    )


def _listed(s: Situation) -> str:
    return "`,` or `)`" if "RPAR" in s.accepts else "`,` or `]`"
