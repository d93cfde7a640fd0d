"""Lines of `vary` that are not written as `place in choices`."""

from __future__ import annotations

from lark import Token

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.brackets import outside_brackets
from archdsl.lang.mistakes.situation import (
    COMPARISONS,
    KEYWORDS,
    SETTINGS,
    VALUES,
    Situation,
    found_text,
    text_before,
)


def variation(s: Situation) -> Diagnostic | None:
    """Lines of `vary`: `place in choices`, `place in low .. high step s log`."""
    if s.body != "VARY" or s.line[0].type in KEYWORDS:
        return None
    if not s.at or (s.line[0].type != "NAME" and "IN" in s.accepts):
        return s.tell(
            "a line of `vary` begins with the place that is varied",
            f"found {found_text(s.line[0])}, expected a place",
            "write `s3.heads in one_of(2, 4)`",
            token=s.line[0],
        )
    before = s.line[: s.at]
    if any(t.type == "IN" for t in before):
        return _domain(s)
    token, place = s.near(0), text_before(before, "IN")
    if token.type == "EQUALS" and s.line[0] in SETTINGS and s.at == 1:
        return s.tell(
            "a setting is not allowed here",
            "this is the body of `vary`; settings stand in the body of the search",
            "move it out of the braces of `vary`",
            code="E107",
            token=s.line[0],
        )
    if token.type in ("EQUALS", "EQ"):
        return s.tell(
            "a place is varied with `in`",
            f"found `{token}`, expected `in`",
            f"write `{place} in {_shown(s, 1)}`",
        )
    if token.type == "COMMA":
        return s.tell(
            "every place has a line of its own", "found `,`, expected `in`", f"write `{place} in ...`"
        )
    if token.type == "END":
        return s.tell(
            f"`{place}` has nothing to choose from",
            "expected `in` and what may stand there",
            f"write `{place} in one_of(a, b)`",
        )
    if "IN" in s.accepts and token.type not in KEYWORDS:
        begins = next((n for n, t in enumerate(s.line[s.at :]) if t.type in VALUES), 0)
        return s.tell(
            f"`in` is missing behind `{place}`",
            f"found {found_text(token)}, expected `in`",
            f"write `{place} in {_shown(s, begins)}`",
        )
    return None


def _domain(s: Situation) -> Diagnostic | None:
    token, before = s.near(0), s.near(-1)
    behind = [t.type for t in outside_brackets(s.line[: s.at])]
    in_range = "RANGE" in behind
    depth = sum((t.type in ("LPAR", "LSQB")) - (t.type in ("RPAR", "RSQB")) for t in s.line[: s.at])
    if token.type == "DOT" and before.type == "RANGE":
        return s.tell("a range has two dots", "found a third `.`", "write `4 .. 16`")
    if token.type == "RANGE":
        if before.type == "RANGE":
            return s.tell("a range has two dots", "found more of them", "write `4 .. 16`")
        if depth:
            label = "it stands between the ends of a range, right behind `in`"
            return s.tell(
                "`..` is not allowed here", label, "write `s3.heads in 2 .. 8`, or `one_of(2, 4, 8)`"
            )
        if before.type == "IN":
            return s.tell("a range has two ends", "nothing stands before this `..`", "write `2 .. 8`")
        if in_range:
            return s.tell("a range has two ends", "found a second `..`", "write `4 .. 16 step 4`")
    if token.type == "LBRACE" and not in_range:
        return s.tell(
            "choices stand in `one_of`",
            "found `{`, expected a value",
            f"write `{_shown(s, 0)}`, without braces",
        )
    if token.type == "IN":
        first_in = next(t for t in s.line if t.type == "IN")
        if token.line != first_in.line:
            return s.tell(
                "a value is missing",
                "nothing stands behind this `in`",
                "write `one_of(a, b)`, or a range such as `4 .. 16`, behind it",
                token=first_in,
            )
        return s.tell(
            "a place is varied once in a line", "found a second `in`", "begin a new line, or write `;`"
        )
    if depth:
        return None
    if in_range and (found := _behind_range(s, token, before)):
        return found
    if token.type == "COMMA" and s.near(1).type == "END":
        return s.tell("a line ends without `,`", "found `,`, expected the end of the line", "delete it")
    if token.type in COMPARISONS:
        return s.tell("a range is written with `..`", f"found `{token}`, expected a value", "write `2 .. 8`")
    if token.type in ("COMMA", "OR", "AND"):
        behind_in = next(n for n, t in enumerate(s.line) if t.type == "IN") + 1
        return s.tell(
            "choices stand in `one_of`",
            f"found `{token}` between them",
            f"write `{_choices(_written(s, behind_in))}`",
        )
    if token in ("to", "until", "upto", "through"):
        end = s.near(1) if s.near(1).type == "NUMBER" else "16"
        return s.tell(
            "a range is written with `..`", f"found `{token}`, expected `..`", f"write `{before} .. {end}`"
        )
    if any(t.type == "IN" for t in s.line[s.at :]) and token.type == "NAME":
        return s.tell(
            f"unexpected `{token}`",
            "this begins another variation",
            f"begin a new line before `{token}`, or write `;`",
        )
    if token in ("step", "log"):
        return s.tell(
            f"`{token}` stands behind a range",
            f"found `{token}` without one",
            f"write `{_form(token)}`",
        )
    return None


def _behind_range(s: Situation, token: Token, before: Token) -> Diagnostic | None:
    """What stands behind `low .. high`: `step` and a number, `log`."""
    if token.type == "COMMA":
        return s.tell(
            "`step` and `log` follow the range directly", "found `,`", "write `4 .. 16 step 4` without `,`"
        )
    if before in ("step", "log") and token.type in ("EQUALS", "LPAR", "COLON"):
        return s.tell(f"`{before}` takes no `{token}`", f"found `{token}`", f"write `{_form(before)}`")
    if before == "step":
        return s.tell(
            "a step is a plain number",
            f"found {found_text(token)}, expected a number above 0",
            "write `4 .. 16 step 4`",
        )
    if s.near(-2) == "step":
        return s.tell(
            "a step is a plain number", f"found {found_text(token)} behind it", "write `4 .. 16 step 4`"
        )
    if token.type in VALUES:
        return s.tell(
            f"unexpected {found_text(token)}",
            "expected `step` with a number behind it, or `log`",
            f"write `step {token}`" if token.type == "NUMBER" else "write `4 .. 16 step 4`",
        )
    return None


def _form(word: str) -> str:
    return "4 .. 16 step 4" if word == "step" else "1e-4 .. 3e-3 log"


def _shown(s: Situation, offset: int) -> str:
    """What the value that begins there should be: as it is, or as choices; an example where it is long."""
    text = _written(s, s.at + offset)
    if ".." in text or "one_of" in text:
        return text
    inside = text[1:-1] if text[:1] in ("[", "{", "(") else text
    return _choices(inside)


def _choices(text: str) -> str:
    """`2, 4` and `2 or 4` as choices; an example where that would be long, or no choice."""
    joined = text.replace(" or ", ", ").replace(" and ", ", ").strip()
    return f"one_of({joined})" if "," in joined else "one_of(2, 4)"


def _written(s: Situation, begin: int) -> str:
    """The text of the line from a token to its end, '' where that is long."""
    tokens = [token for token in s.line[begin:] if token.type not in ("END", "$END")]
    if not tokens:
        return ""
    text = s.source.text[tokens[0].start_pos : tokens[-1].end_pos]
    return text if len(text) <= 60 and "\n" not in text and "`" not in text and "#" not in text else ""
