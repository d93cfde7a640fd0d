"""Lines of a search that are none of the place where they stand; headers of search, vary and claim."""

from __future__ import annotations

from lark import Token

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.brackets import outside_brackets
from archdsl.lang.mistakes.situation import (
    COMPARISONS,
    KEYWORDS,
    SETTINGS,
    WORDS,
    Situation,
    found_text,
    text_before,
)
from archdsl.lang.mistakes.statements import no_setting

_BODIES = {
    "FILE": "the top level of the file",
    "SEARCH": "the body of a search",
    "VARY": "the body of `vary`",
    "CLAIM": "the body of a claim",
}
_PLACES = {
    "USE": "at the top level of the file",
    "SEARCH": "at the top level of the file",
    "LET": "at the top level of the file or in the body of a search",
    "REQUIRE": "in the body of a search",
    "VARY": "in the body of a search",
    "CLAIM": "in the body of a search",
}
_EXAMPLE = "s3.heads in one_of(2, 4)"


def search_line(s: Situation) -> Diagnostic | None:
    """Lines that begin with what can't begin one there."""
    if s.body not in _BODIES:
        return None
    first = s.line[0]
    if not s.at and first.type in _PLACES:
        return s.tell(
            f"`{first}` is not allowed here",
            f"this is {_BODIES[s.body]}; `{first}` stands {_PLACES[first.type]}",
            _moved(first.type, s.body),
            code="E107",
        )
    outside = first.type == "NAME" and s.body in ("FILE", "SEARCH") and s.at <= 1
    if outside and (found := _misplaced(s, first)):
        return found
    if not s.at and first.type in COMPARISONS:
        return s.tell(
            f"a line can't begin with `{first}`",
            "the line above ends before it",
            "write both sides of the comparison on one line",
        )
    if not s.at and s.body == "SEARCH" and first.type not in ("ARROW", "PLUS"):
        return s.tell(
            f"unexpected {found_text(first)}",
            "expected a line of a search: a setting `name = value`, `let`, `vary`, `require` or `claim`",
            "begin the line with a name, such as `task = digits(epochs = 20)`",
        )
    return None


def _moved(kind: str, body: str) -> str:
    if kind in ("USE", "SEARCH") or body == "FILE":
        return "move it between the braces of a `search`" if body == "FILE" else "move it out of the braces"
    return f"move it out of the braces of `{body.lower()}`"


def _misplaced(s: Situation, first: Token) -> Diagnostic | None:
    """Settings, variations and comparisons outside their bodies; settings that are not written as such."""
    line = outside_brackets(s.line)
    kinds = [token.type for token in line]
    second = s.line[1] if len(s.line) > 1 else Token("", "")
    place = text_before(s.line, "IN")
    if s.body == "SEARCH" and second.type == "IN" and first in SETTINGS and s.at:
        return s.tell(
            "a setting is written with `=`",
            "found `in`, expected `=`",
            f"write `{first} = ...`",
            token=second,
        )
    if "IN" in kinds and "EQUALS" not in kinds:
        return s.tell(
            "a variation is not allowed here",
            f"this is {_BODIES[s.body]}; what is varied stands in `vary`",
            f"write `vary {{ {place} in ... }}`" + (" in the body of a search" if s.body == "FILE" else ""),
            code="E107",
            token=first,
        )
    if s.body == "FILE":
        if second.type != "EQUALS":
            return None
        return s.tell(
            "a setting is not allowed here",
            "this is the top level of the file; settings stand in a search",
            f"write `search name {{ {first} = ... }}`"
            if first in SETTINGS
            else f"write `let {first} = ...` for a value with a name",
            code="E107",
        )
    if not s.at:
        return None
    if second.type in ("DOT", "LSQB") and "EQUALS" in kinds:
        path = text_before(s.line, "EQUALS")
        return s.tell(
            "a path is not allowed here",
            "expected the name of a setting",
            f"write `arch = name({path} = ...)` to set it, `vary {{ {path} in ... }}` to vary it",
            code="E107",
            token=first,
        )
    sign = next((token for token in line if token.type in COMPARISONS), second)
    if second.type in COMPARISONS - {"EQ"} or (second.type == "LPAR" and COMPARISONS & set(kinds)):
        if second.type != "LPAR" or "LE" in kinds or "GE" in kinds:
            return s.tell(
                "a condition is not allowed here",
                "expected a setting `name = value`",
                f"write `require {first}{'(...)' if second == '(' else ''} {sign} ...`",
                token=first,
            )
        return s.tell(
            "a comparison is not allowed here",
            "this is the body of a search; findings stand in a `claim`",
            f'write `claim "what was found" {{ {first}(...) > ... }}`',
            code="E107",
            token=first,
        )
    step = f"`{first} = ...`" if first in SETTINGS else f"`name = value`, such as `arch = {first}...`"
    return no_setting(s, first, second, f"write {step}")


def search_header(s: Situation) -> Diagnostic | None:
    """Mistakes between `search`, `vary` or `claim` and its body."""
    kind, token = s.line[0].type, s.near(0)
    if kind not in ("SEARCH", "VARY", "CLAIM") or not s.at or any(t.type == "LBRACE" for t in s.line[: s.at]):
        return None
    if kind == "VARY":
        found = "" if token.type == "END" else f"found {found_text(token)}, "
        return s.tell(
            "`{` is missing", f"{found}expected the body of `vary`", f"write `vary {{ {_EXAMPLE} }}`"
        )
    if kind == "SEARCH":
        return _search_header(s, token)
    if s.at == 1:
        return s.tell(
            "a claim needs its finding",
            f'found {found_text(token)}, expected a "text"',
            'write `claim "what was found" { accuracy(a = 1) > accuracy() }`',
        )
    if token.type == "STRING":
        return s.tell(
            "a claim has one text", f"found {found_text(token)}, expected `{{`", "delete one of them"
        )
    found = "" if token.type == "END" else f"found {found_text(token)}, "
    return s.tell(
        "`{` is missing",
        f"{found}expected the comparisons of this claim",
        f"write `claim {found_text(s.line[1])[1:-1]} {{ accuracy(a = 1) > accuracy() }}`",
    )


def _search_header(s: Situation, token: Token) -> Diagnostic | None:
    if s.at == 1:
        if token.type in KEYWORDS | WORDS:
            return None
        return s.tell(
            "a search needs a name",
            f"found {found_text(token)}, expected a name",
            "write `search name { ... }`",
        )
    name = s.line[1]
    if token.type == "LPAR":
        return s.tell(
            "a search has no parameters",
            "found `(`, expected `{`",
            "name a value with `let` in its body: `let n = 3`",
        )
    found = "" if token.type == "END" else f"found {found_text(token)}, "
    return s.tell(
        "`{` is missing", f"{found}expected the body of this search", f"write `search {name} {{ ... }}`"
    )


def in_elsewhere(s: Situation) -> Diagnostic | None:
    """`in` in conditions, settings and arguments."""
    if s.near(0).type != "IN" or "NAME" in s.accepts:
        return None
    if s.line[0].type == "REQUIRE":
        instead = "write `a == 2 or a == 4`"
    elif "EQUALS" in s.accepts:
        instead = f"write `=`; what is varied stands in `vary {{ {_EXAMPLE} }}`"
    else:
        instead = f"write `vary {{ {_EXAMPLE} }}` in the body of a search"
    return s.tell("`in` is not allowed here", "it stands behind a place in `vary`", instead)
