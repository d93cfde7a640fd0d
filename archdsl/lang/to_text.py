"""A value as text, in the one way the formatter would write it on a single line."""

from __future__ import annotations

from fractions import Fraction

from archdsl.lang import tree as t

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_CONSTANTS = {True: "on", False: "off", None: "none"}
# How tightly each form binds; the tighter the higher.
_OR, _AND, _NOT, _COMPARE, _PIPELINE, _SUM, _REPEAT, _PRODUCT, _UNARY, _OPERAND, _COUNT = range(11)
_BINARY = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT}


def to_text(value: t.Expr) -> str:
    """The value as canonical text: parsing it gives the value again.

    Parentheses are written where the tree has them, and where a tree made by a program needs them.
    """
    return _text(value, _OR)


def _text(value: t.Expr, at_least: int) -> str:
    binding, text = _written(value)
    return text if binding >= at_least else f"({text})"


def _written(value: t.Expr) -> tuple[int, str]:
    match value:
        case t.Name(id=name):
            return _COUNT, name
        case t.Number():
            return _number(value)
        case t.String(value=text):
            return _OPERAND, quoted(text)
        case t.Constant(value=constant):
            return _OPERAND, _CONSTANTS[constant]
        case t.Same():
            return _OPERAND, "same"
        case t.List(items=items):
            return _OPERAND, "[" + ", ".join(_text(item, _PIPELINE) for item in items) + "]"
        case t.Call(callee=callee, arguments=arguments):
            return _COUNT, f"{callee.id}({', '.join(_argument(a) for a in arguments)})"
        case t.Index(base=base, index=index):
            return _COUNT, f"{_text(base, _OPERAND)}[{_text(index, _PIPELINE)}]"
        case t.Slice(base=base, start=start, stop=stop):
            inside = f"{_text(start, _PIPELINE)}..{_text(stop, _PIPELINE)}"
            return _OPERAND, f"{_text(base, _OPERAND)}[{inside}]"
        case t.Member(base=base, name=name):
            left = _text(base, _OPERAND)
            return _OPERAND, f"{left} .{name}" if isinstance(base, t.Number) else f"{left}.{name}"
        case t.Parens(inner=inner):
            return _COUNT, f"({_text(inner, _OR)})"
        case _:
            return _operation(value)


def _operation(value: t.Expr) -> tuple[int, str]:
    match value:
        case t.Unary(operator=operator, operand=operand):
            return _UNARY, operator + _text(operand, _UNARY)
        case t.Binary(operator=operator):
            return _BINARY[operator], _chain(value, _BINARY[operator])
        case t.Repeat(count=count, body=body, each=each):
            word = "x each" if each else "x"
            return _REPEAT, f"{_text(count, _COUNT)} {word} {_text(body, _REPEAT)}"
        case t.Pipeline(parts=parts):
            return _PIPELINE, " -> ".join(_text(part, _SUM) for part in parts)
        case t.Compare(operator=operator, left=left, right=right):
            return _COMPARE, f"{_text(left, _PIPELINE)} {operator} {_text(right, _PIPELINE)}"
        case t.Logic(operator=operator, left=left, right=right):
            binding = _OR if operator == "or" else _AND
            return binding, f"{_text(left, binding)} {operator} {_text(right, binding + 1)}"
        case t.Not(operand=operand):
            return _NOT, f"not {_text(operand, _NOT)}"
        case t.Range(low=low, high=high, step=step, log=log):
            text = f"{_text(low, _PIPELINE)} .. {_text(high, _PIPELINE)}"
            text += f" step {_text(step, _PIPELINE)}" if step is not None else ""
            return _OR, text + (" log" if log else "")
    raise TypeError(f"not a value of the language: {type(value).__name__}")


def _chain(value: t.Expr, binding: int) -> str:
    """`a + b - c`: long sums lean to the left, so their spine is walked and not nested."""
    behind: list[str] = []
    while isinstance(value, t.Binary) and _BINARY[value.operator] == binding:
        behind.append(f" {value.operator} {_text(value.right, binding + 1)}")
        value = value.left
    return _text(value, binding) + "".join(reversed(behind))


def _argument(argument: t.Argument) -> str:
    value = _text(argument.value, _PIPELINE)
    return value if argument.path is None else f"{argument.path} = {value}"


def _number(number: t.Number) -> tuple[int, str]:
    if number.text:
        return _COUNT, number.text
    text = number_text(number.value)
    binding = _PRODUCT if "/" in text else _UNARY if text.startswith("-") else _COUNT
    return binding, text + number.unit


def number_text(value: Fraction) -> str:
    """An exact number as text: whole, as a short decimal, or as a quotient `8 / 3`."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = f"{float(value):.12g}"
    if "e" not in decimal and Fraction(decimal) == value:
        return decimal
    return f"{value.numerator} / {value.denominator}"


def quoted(text: str) -> str:
    """A text as a literal in double quotes."""
    return '"' + "".join(_ESCAPES.get(c, c) for c in text) + '"'
