"""Text to tree and back: the parser, its diagnostics and the formatter. Knows neither shapes nor torch."""

from archdsl.lang.parser import parse, parse_expression, parse_path
from archdsl.lang.text import read

__all__ = ["parse", "parse_expression", "parse_path", "read"]
