"""Statements that other languages have: `if`, `for`, `class`, `import` ..."""

from __future__ import annotations

from collections.abc import Iterator

from lark import Token

_BRANCH = "a choice is a parameter (`norm = layer_norm`) or a variant of the arch"
_LOOP = "repeat with `4 x block`, several parts with `2 x (a + b)`"
_DEFINE = "define a part with `mixer`, `block` or `arch`"
_USE = 'take the definitions of another file with `use "file.arch"`'
_LET = "name a value with `let name = value`"
_FOREIGN = {
    **dict.fromkeys(("if", "else", "elif", "switch", "match", "case"), _BRANCH),
    **dict.fromkeys(("for", "while", "loop"), _LOOP),
    **dict.fromkeys(("class", "def", "fn", "func", "function", "module"), _DEFINE),
    **dict.fromkeys(("import", "from", "include"), _USE),
    **dict.fromkeys(("var", "const"), _LET),
    "return": "the value of a definition is what stands behind its `=`",
}
_BRANCH_SEARCH = "a choice is `one_of(a, b)`, behind the `in` of a place in `vary { ... }`"
_LOOP_SEARCH = "a place is varied with `s3.heads in one_of(2, 4)` in `vary { ... }`"
_DEFINE_SEARCH = 'define parts in an .arch file, and take that with `use "file.arch"`'
_IN_SEARCHES = {
    _BRANCH: _BRANCH_SEARCH,
    _LOOP: _LOOP_SEARCH,
    _DEFINE: _DEFINE_SEARCH,
    _FOREIGN["return"]: "a search has no functions; what it looks for stands in `maximize` and `minimize`",
}
_FOREIGN_GOES_ON = {"NAME", "BAD_NAME", "NUMBER", "STRING", "QUOTED", "NOT", "COLON", "LBRACE"}
_INSIDE = {"if", "else", "for"}
_CALLED = {"if", "for", "while", "def"}
_DEPTH = {"LPAR": 1, "LSQB": 1, "RPAR": -1, "RSQB": -1}


def foreign(tokens: list[Token], search: bool = False) -> Iterator[tuple[int, int, str]]:
    """Where such a statement begins and ends, and what this language has instead."""
    starts, depth, skip = True, 0, 0
    for i, token in enumerate(tokens[:-1]):
        if i < skip:
            continue
        if token.type == "NAME" and starts and token in _FOREIGN and not depth:
            following = tokens[i + 1].type
            if following in _FOREIGN_GOES_ON or (following == "LPAR" and token in _CALLED):
                skip = _statement_end(tokens, i)
                yield i, skip, _instead(token, search)
        starts = token.type in ("END", "LBRACE", "RBRACE") or (starts and token.type == "COMMENT")
        depth = 0 if token.type in ("LBRACE", "RBRACE") else depth + _DEPTH.get(token.type, 0)


def foreign_word(word: str, search: bool = False) -> str:
    """What this language has instead of a word in the middle of a line, '' where it is no such word."""
    return _instead(word, search) if word in _INSIDE else ""


def _instead(word: str, search: bool) -> str:
    instead = _FOREIGN[word]
    return _IN_SEARCHES.get(instead, instead) if search else instead


def _statement_end(tokens: list[Token], i: int) -> int:
    """Where the statement that begins at `i` ends: with its line, or with its braces."""
    depth = 0
    while i < len(tokens):
        kind = tokens[i].type
        depth += (kind == "LBRACE") - (kind == "RBRACE")
        if depth < 0 or (kind == "END" and not depth):
            break
        i += 1
    return i
