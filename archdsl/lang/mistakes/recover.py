"""All mistakes of a text that does not parse: after each, reading goes on at the next line."""

from __future__ import annotations

from itertools import takewhile

from lark import Token
from lark.exceptions import UnexpectedToken
from lark.parsers.lalr_interactive_parser import InteractiveParser

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.lang.grammar import ARCH, SEARCH, start
from archdsl.lang.layout import layout
from archdsl.lang.mistakes.brackets import Brackets
from archdsl.lang.mistakes.explain import explain
from archdsl.lang.mistakes.lexical import MAX_MISTAKES, Lexical
from archdsl.lang.mistakes.other_file import other_statements
from archdsl.lang.mistakes.situation import Situation

_LINE_STARTS = {"END", "LBRACE", "RBRACE"}
_OPERATORS = {"ARROW", "PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "X"}
_KEYWORDS = {"USE", "MIXER", "BLOCK", "ARCH", "STAGE", "SEARCH", "VARY", "CLAIM"}
_HEADERS = {"ARCH", "BLOCK", "STAGE", "SEARCH", "VARY", "CLAIM"}


def mistakes(rule: str, source: Source, tokens: list[Token], grammar: str = ARCH) -> list[Diagnostic]:
    """Every mistake, in the order of the text; at most `MAX_MISTAKES`.

    Args:
        rule: what the text should be: `file` or `value`.
        source: the text.
        tokens: all of its tokens.
        grammar: the one they are tokens of.
    """
    lexical = Lexical(source, grammar == SEARCH)
    mended = lexical.mend(other_statements(tokens, grammar == SEARCH))
    found = lexical.diagnostics
    if len(found) < MAX_MISTAKES:
        brackets = Brackets(source, lexical.told)
        mended = brackets.mend(mended)
        found += brackets.diagnostics
    if len(found) < MAX_MISTAKES and (mended or not found):
        mended = layout(mended, enclosed=rule != "file")
        recovery = _Recovery(rule, source, mended, lexical.told, grammar)
        recovery.limit = MAX_MISTAKES - len(found)
        recovery.run()
        found += recovery.diagnostics
    found.sort(key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0))
    return found[:MAX_MISTAKES]


class _Recovery:
    """Feeds the parser line by line and returns to the start of a line where one is wrong."""

    def __init__(self, rule: str, source: Source, tokens: list[Token], told: set[int], grammar: str) -> None:
        self.source = source
        self.tokens = tokens
        self.told = told
        self.rule = rule
        self.search = grammar == SEARCH
        self.limit = MAX_MISTAKES
        self.diagnostics: list[Diagnostic] = []
        self.parser: InteractiveParser = start(rule, "", grammar)[0]
        self.checkpoint = self._copy(self.parser)
        self.line = 0  # where the current line starts
        self.bodies: list[str] = []  # what the open braces belong to

    def run(self) -> None:
        """Reads the whole text."""
        i, last = 0, -1
        while i < len(self.tokens) and len(self.diagnostics) < self.limit:
            token = self.tokens[i]
            try:
                self.parser.feed_token(token)
            except UnexpectedToken:
                i = max(self._recover(i), i if i > last else i + 1)
                last = max(last, i)
            except DiagnosticError as error:
                self._tell(list(error.diagnostics), i)
                i = self._recover(i, told=True)
            else:
                i += 1
                if token.type == "LBRACE":
                    self.bodies.append(self.tokens[self.line].type)
                elif token.type == "RBRACE" and self.bodies:
                    self.bodies.pop()
                if token.type in _LINE_STARTS:
                    self._reach(i)
            if self.rule == "value" and self.diagnostics:
                return
        if self.rule == "value" and not self.told:
            self._finish()

    def _finish(self) -> None:
        last = self.tokens[-1] if self.tokens else Token("$END", "", 0, 1, 1, 1, 1, 0)
        end = Token("$END", "", last.end_pos, last.end_line, last.end_column)
        try:
            self.parser.feed_token(end)
        except UnexpectedToken:
            self.tokens.append(end)
            self._explain(len(self.tokens) - 1)
        except DiagnosticError as error:
            self.diagnostics += error.diagnostics

    def _reach(self, i: int) -> None:
        self.line = i
        self.checkpoint = self._copy(self.parser)

    def _recover(self, i: int, told: bool = False) -> int:
        """Reports what is wrong at token `i`; the index from which to go on."""
        if not told:
            self._explain(i)
        self.parser = self._copy(self.checkpoint)
        if self._bare_search(i):
            return i + 1
        after_brace = self.line > 0 and self.tokens[self.line - 1].type == "RBRACE"
        j, header, depth = self.line, self.tokens[self.line].type, 0
        while j < len(self.tokens):
            kind = self.tokens[j].type
            depth += (kind in ("LPAR", "LSQB")) - (kind in ("RPAR", "RSQB"))
            if kind == "END" and depth <= 0 and not self._continues(j):
                return j if after_brace else self._next_line(j + 1)
            if kind == "RBRACE":
                return j
            if kind == "LBRACE":
                if i <= j and header in _HEADERS and self._enter(j):
                    return j + 1
                j = self._matching(j)
            j += 1
        return j

    def _bare_search(self, end: int) -> bool:
        """Enters the body of a search that has no braces at all."""
        if self.tokens[self.line].type != "SEARCH" or self.tokens[end].type != "END":
            return False
        following = self.tokens[end + 1].type if end + 1 < len(self.tokens) else "LBRACE"
        if following == "LBRACE":
            return False
        brace = Token.new_borrow_pos("LBRACE", "{", self.tokens[end])
        return self._enter_with(brace, end + 1)

    def _continues(self, end: int) -> bool:
        """Whether the next line belongs to the wrong one: behind an operator, or as body without braces."""
        following = [t.type for t in self.tokens[end + 1 : end + 3]]
        if not following or following[0] in _KEYWORDS | {"RBRACE"}:
            return False
        if self.tokens[end - 1].type in _OPERATORS:
            return following[1:] != ["EQUALS"]
        if self.tokens[self.line].type not in _HEADERS:
            return False
        header = {t.type for t in takewhile(lambda t: t.type != "END", self.tokens[self.line : end])}
        return not header & {"EQUALS", "LBRACE"}

    def _next_line(self, i: int) -> int:
        self.line = i
        return i

    def _enter(self, brace: int) -> bool:
        """Feeds a header that is right in the place of a wrong one, so that its body can be read."""
        return self._enter_with(self.tokens[brace], brace + 1)

    def _enter_with(self, brace: Token, body: int) -> bool:
        token = self.tokens[self.line]
        named = [] if token.type == "VARY" else [Token.new_borrow_pos("NAME", "name", token)]
        if token.type == "CLAIM":
            named = [Token.new_borrow_pos("STRING", '""', token)]
        try:
            for stand_in in (token, *named, brace):
                self.parser.feed_token(stand_in)
        except UnexpectedToken:
            self.parser = self._copy(self.checkpoint)
            return False
        self.bodies.append(token.type)
        self._reach(body)
        return True

    def _matching(self, brace: int) -> int:
        depth = 0
        for j in range(brace, len(self.tokens)):
            depth += (self.tokens[j].type == "LBRACE") - (self.tokens[j].type == "RBRACE")
            if not depth:
                return j
        return len(self.tokens)

    def _explain(self, i: int) -> None:
        replay = self._copy(self.checkpoint)
        for token in self.tokens[self.line : i]:
            replay.feed_token(token)
        body = self.bodies[-1] if self.bodies else self.rule.upper()
        end = self._line_end(i)
        begin = self.line
        if begin and self.tokens[begin - 1].type == "RBRACE":
            begin -= 1
        line = self.tokens[begin : end + 1]
        accepts: set[str] = replay.accepts()  # type: ignore[no-untyped-call]
        situation = Situation(self.source, body, line, i - begin, accepts, self.search)
        self._tell([explain(situation)], i)

    def _tell(self, diagnostics: list[Diagnostic], i: int) -> None:
        """Reports, unless something was found wrong on this line already."""
        end = self._line_end(i)
        if not any(t.start_pos in self.told for t in self.tokens[self.line : end + 1] if t.type != "END"):
            self.diagnostics += diagnostics

    def _line_end(self, i: int) -> int:
        while i < len(self.tokens) and self.tokens[i].type not in _LINE_STARTS:
            i += 1
        return i

    @staticmethod
    def _copy(parser: InteractiveParser) -> InteractiveParser:
        copied: InteractiveParser = parser.copy(deepcopy_values=False)  # type: ignore[no-untyped-call]
        return copied
