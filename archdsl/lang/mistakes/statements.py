"""Lines that are no statement, or none of the place where they stand; headers of definitions."""

from __future__ import annotations

from lark import Token

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.brackets import outside_brackets
from archdsl.lang.mistakes.situation import KEYWORDS, VALUES, WORDS, Situation, found_text

_PLACES = {
    "USE": "at the top level of the file",
    "MIXER": "at the top level of the file",
    "BLOCK": "at the top level of the file",
    "ARCH": "at the top level of the file",
    "STAGE": "in the body of an arch",
    "REQUIRE": "in the body of an arch, stage or block",
    "RESIDUAL": "in the body of a block",
}
_BODIES = {
    "FILE": "the top level of a file",
    "ARCH": "the body of an arch",
    "STAGE": "the body of a stage",
    "BLOCK": "the body of a block",
}


def statement(s: Situation) -> Diagnostic | None:
    """Lines that begin with what can't begin one there."""
    first = s.line[0]
    second = s.line[1] if len(s.line) > 1 else Token("", "")
    if s.at:
        return _no_setting(s, first, second)
    if first.type in _PLACES and s.body in _BODIES:
        return s.tell(
            f"`{first}` is not allowed here",
            f"this is {_BODIES[s.body]}; `{first}` stands {_PLACES[first.type]}",
            _moved(first.type, s.body),
            code="E107",
        )
    if first.type == "NAME" and second.type == "EQUALS" and s.body == "FILE":
        return s.tell(
            "a setting is not allowed here",
            "this is the top level of a file; settings stand in an arch or a stage",
            f"write `let {first} = ...` for a value with a name",
            code="E107",
        )
    if s.body in ("ARCH", "STAGE") and first.type not in ("ARROW", "PLUS"):
        return _value_as_line(s)
    return None


def _moved(kind: str, body: str) -> str:
    if kind == "RESIDUAL":
        return "as part of a pipeline write `residual(...)`; as a line, put it into a `block`"
    if kind == "STAGE":
        return (
            "close the body before it"
            if body in ("STAGE", "BLOCK")
            else "put it between the braces of an `arch`"
        )
    if kind == "REQUIRE":
        return "put it into the arch whose parameters it checks"
    return "move it out of the braces"


def _value_as_line(s: Situation) -> Diagnostic:
    first = s.line[0]
    what = "blocks" if s.body == "STAGE" else "stem"
    return s.tell(
        f"unexpected {found_text(first)}",
        f"expected a line of {'an arch' if s.body == 'ARCH' else 'a stage'}: a setting `name = value`"
        + (", `let`, `require` or `stage`" if s.body == "ARCH" else ", `let` or `require`"),
        f"give it a name, such as `{what} = {first} ...`"
        if first.type in VALUES
        else "begin the line with a name",
    )


def _no_setting(s: Situation, first: Token, second: Token) -> Diagnostic | None:
    """`dim 64`, `conv2d(3) -> relu`, `s3.heads = 4` and `dim = 3` where they can't stand."""
    if s.at != 1 or first.type != "NAME":
        return None
    if s.body == "BLOCK" and second.type == "EQUALS":
        return s.tell(
            "a setting is not allowed here",
            "this is the body of a block; settings stand in an arch or a stage",
            f"make `{first}` a parameter of the block, or write `let {first} = ...`",
            code="E107",
            token=first,
        )
    if s.body not in ("ARCH", "STAGE"):
        return None
    if second.type in ("DOT", "LSQB") and any(t.type == "EQUALS" for t in s.line):
        return s.tell(
            "a path is not allowed here",
            "expected the name of a setting",
            f"write the setting in the body of `stage {first}`, or the path in a variant: "
            f"`arch name = base({first}{second}... = ...)`",
            code="E107",
            token=first,
        )
    what = "blocks" if s.body == "STAGE" else "stem"
    bracket = second if second == "(" else ""
    return no_setting(s, first, second, f"write `name = value`, such as `{what} = {first}{bracket}...`")


def no_setting(s: Situation, first: Token, second: Token, otherwise: str) -> Diagnostic:
    """A line that begins as a setting and has something else in the place of its `=`.

    Args:
        otherwise: the next step where nothing tells what was meant.
    """
    if second.type == "EQ":
        return s.tell("a setting is written with `=`", "found `==`, expected `=`", "write `name = value`")
    if second.type in VALUES - {"LPAR"}:
        return s.tell(
            f"`=` is missing behind `{first}`",
            f"found {found_text(second)}, expected `=`",
            f"write `{first} = {second}`",
        )
    if second.type == "END":
        return s.tell(f"`{first}` has no value", "expected `=` and a value", f"write `{first} = ...`")
    return s.tell("this line is no setting", f"found {found_text(second)}, expected `=`", otherwise)


def header(s: Situation) -> Diagnostic | None:
    """Mistakes between the keyword of a definition and its body."""
    kind, token = s.line[0].type, s.near(0)
    if kind not in ("MIXER", "BLOCK", "ARCH", "STAGE", "LET", "USE") or not s.at:
        return None
    word = str(s.line[0])
    if kind == "USE":
        return (
            s.tell(
                "`use` takes the path of a file",
                f'found {found_text(token)}, expected a "text"',
                'write `use "file.arch"`',
            )
            if s.at == 1
            else None
        )
    if s.at == 1 and token.type not in KEYWORDS | WORDS:
        return s.tell(
            f"`{word}` needs a name",
            f"found {found_text(token)}, expected a name",
            f"write `{word} name ...`",
        )
    in_header = not any(t.type in ("EQUALS", "LBRACE") for t in outside_brackets(s.line[: s.at]))
    if not in_header:
        if kind == "ARCH" and token.type == "LBRACE":
            return s.tell(
                "a variant has no body",
                "found `{`, expected the end of the line",
                "give the settings to the call: `arch name = base(norm = rms_norm)`",
            )
        if (kind == "ARCH" and s.accepts <= {"NAME"}) or (kind == "ARCH" and s.near(-1).type == "EQUALS"):
            return s.tell(
                "a variant is a call of another arch",
                f"found {found_text(token)}, expected its name",
                "write `arch name = base(dim = 192)`",
            )
        return None
    if "LBRACE" in s.accepts and token.type == "END":
        return s.tell(
            "`{` is missing", f"expected the body of this {word}", f"write `{word} {s.line[1]} {{ ... }}`"
        )
    if "EQUALS" in s.accepts and token.type in ("END", "LBRACE") and kind in ("MIXER", "LET"):
        instead = (
            "a mixer is one pipeline; several lines stand in a `block`" if token.type == "LBRACE" else ""
        )
        return s.tell(
            "`=` is missing",
            f"found {found_text(token)}, expected `=`",
            instead or f"write `{word} {s.line[1]} = ...`",
        )
    if token.type == "LPAR" and kind in ("STAGE", "LET"):
        return s.tell(
            f"a {word} has no parameters",
            f"found `(`, expected {'`{`' if kind == 'STAGE' else '`=`'}",
            "parameters belong to mixers, blocks and archs",
        )
    if token.type == "EQUALS" and kind == "STAGE":
        return s.tell(
            "a stage has a body in braces",
            "found `=`, expected `{`",
            f"write `stage {s.line[1]} {{ dim = ...; blocks = ... }}`",
        )
    if token.type in ("DOT", "LSQB") and "EQUALS" in s.accepts and "COMMA" in s.accepts:
        return s.tell(
            "a parameter is a single name",
            f"found {found_text(token)}, expected `=`, `,` or `)`",
            "a path such as `s3.heads` is given where an arch is called",
        )
    if "NAME" in s.accepts and "NUMBER" not in s.accepts and token.type in VALUES | {"MINUS"}:
        return s.tell(
            "a parameter needs a name",
            f"found {found_text(token)}, expected a name",
            "write `name` or `name = default`",
        )
    return None
