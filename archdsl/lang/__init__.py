"""Text to tree and back: the parser, its diagnostics and the formatter. Knows neither shapes nor torch."""

from archdsl.lang.formatter import format_source
from archdsl.lang.parser import parse, parse_expression, parse_path, parse_search
from archdsl.lang.text import read
from archdsl.lang.to_text import to_text

__all__ = ["format_source", "parse", "parse_expression", "parse_path", "parse_search", "read", "to_text"]
