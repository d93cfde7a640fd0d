"""Reserved words, comparisons and `=` where they can't stand."""

from __future__ import annotations

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.situation import (
    COMPARISONS,
    CONDITIONS,
    ENDS_VALUE,
    KEYWORDS,
    SETTINGS,
    VALUES,
    WORDS,
    Situation,
)


def word(s: Situation) -> Diagnostic | None:
    """Keywords where a name could stand, or in the middle of a line."""
    token = s.near(0)
    if token.type not in KEYWORDS | WORDS:
        return None
    if "NAME" in s.accepts and token.type not in ("AND", "OR", "NOT", "EACH"):
        if token.type == "RESIDUAL":
            return s.tell(
                "`residual` has no argument",
                "expected `residual(...)`",
                "write `residual(pipeline)`",
                code="E103",
            )
        if (
            token.type == "X"
            and s.near(-1).type in ("", "EQUALS", "COMMA", "LPAR")
            and s.near(1).type in VALUES
        ):
            return s.tell(
                "a repetition needs a count", "nothing stands to the left of `x`", "write `4 x block`"
            )
        why = "it has a meaning of its own"
        if token.type == "RESERVED":
            why = (
                "definitions in .arch files begin with it"
                if s.search
                else "it is kept for the search language"
            )
        return s.tell(
            f"`{token}` is a reserved word",
            f"expected a name, but {why}",
            f"choose another name, such as `{token}_1`"
            if token != "x"
            else "choose another name, such as `y`",
            code="E103",
        )
    if token.type == "X" and s.near(-1).type in ENDS_VALUE:
        return s.tell(
            "left of `x` stands a single value",
            "the repetition can't begin here",
            "put what counts in parentheses: `(n // 2) x block`",
        )
    if token.type == "EACH":
        return s.tell(
            "`each` is not allowed here",
            "it stands behind the `x` of a repetition",
            "write `8 x each one_of(a, b)`",
        )
    if token.type in KEYWORDS and token.type != "RESIDUAL":
        return s.tell(
            f"unexpected `{token}`",
            "this begins another statement",
            "begin a new line before it, or write `;`",
        )
    return None


def condition(s: Situation) -> Diagnostic | None:
    token = s.near(0)
    if token.type not in CONDITIONS:
        return None
    if token.type in COMPARISONS and token.type == "GT" and s.near(-1).type in ("EQUALS", "MINUS"):
        return s.tell(
            "parts are joined with `->`", f"found `{s.near(-1)}{token}`", "write `->`", token=s.near(-1)
        )
    if s.line[0].type == "REQUIRE" or s.body == "CLAIM":
        if token.type in COMPARISONS and any(t.type in COMPARISONS for t in s.line[: s.at]):
            return s.tell(
                "comparisons are not chained",
                f"found a second comparison, `{token}`",
                "write two lines, `a > b` and `b > c`" if s.body == "CLAIM" else "write `a < b and b < c`",
            )
        return None
    if s.search and token.type in ("AND", "OR") and s.line[0] in SETTINGS:
        return s.tell(f"`{token}` is not allowed here", "several values stand in a list", "write `[a, b]`")
    if token.type == "EQ" and "EQUALS" in s.accepts:
        return s.tell("a value is given with `=`", "found `==`, expected `=`", "write `name = value`")
    return s.tell(
        f"`{token}` is not allowed here",
        "conditions stand behind `require`" + (", and in the body of a `claim`" if s.search else ""),
        "write `require a == b`" + ("" if s.search else " in an arch, stage or block"),
    )


def equals(s: Situation) -> Diagnostic | None:
    token = s.near(0)
    if token.type != "EQUALS":
        return None
    if s.line[0].type == "REQUIRE" and "GE" in s.accepts and s.near(1).type in ("GT", "LT"):
        sign = f"{s.near(1)}="
        return s.tell(f"the sign is `{sign}`", f"found `={s.near(1)}`", f"write `a {sign} b`")
    if s.body == "CLAIM" and "GT" in s.accepts:
        return s.tell(
            "a claim compares with `>` or `<`",
            "found `=`, expected `>` or `<`",
            "write `accuracy(a = 1) > accuracy()`",
        )
    if s.line[0].type == "REQUIRE" and "EQ" in s.accepts:
        return s.tell("a comparison is written with `==`", "found `=`, expected `==`", "write `a == b`")
    if s.body == "VALUE" and s.line[0].type == "NAME":
        return s.tell(
            "this is a single value",
            "found `=`, expected an operator or the end of the text",
            f"write only what stands behind `{s.near(-1)} =`",
        )
    if s.near(1).type == "GT":
        return s.tell("parts are joined with `->`", "found `=>`", "write `->`")
    if s.near(-1).type == "NAME" and s.near(-2).type not in ("", "LET"):
        return s.tell(
            f"unexpected `=` behind `{s.near(-1)}`",
            "this begins another setting",
            f"begin a new line before `{s.near(-1)}`, or write `;`",
            token=s.near(-1),
        )
    return None
