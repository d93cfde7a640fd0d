"""SVG text: shapes as elements, escaped and rounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"
INK = "#1f2933"
FAINT = "#6b7785"


@dataclass(slots=True)
class Canvas:
    """Elements in the order in which they are painted; lengths in pixels."""

    elements: list[str] = field(default_factory=list)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        stroke: str = "none",
        radius: float = 0,
        line: float = 1,
    ) -> None:
        """A rectangle, with round corners where `radius` is not 0."""
        box = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        corners = f' rx="{number(radius)}"' if radius else ""
        self.elements.append(f"<rect {box}{corners}{_paint(fill, stroke, line)}/>")

    def path(self, d: str, *, fill: str = "none", stroke: str = "none", line: float = 1) -> None:
        """A path given as SVG path data."""
        self.elements.append(f'<path d="{d}"{_paint(fill, stroke, line)}/>')

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: float = 12,
        fill: str = INK,
        bold: bool = False,
        anchor: str = "start",
        width: float | None = None,
    ) -> None:
        """A line of text on the baseline y, cut short with an ellipsis where it is wider than `width`."""
        shown = content if width is None else shortened(content, size, width, bold)
        attributes = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{fill}"'
        if anchor != "start":
            attributes += f' text-anchor="{anchor}"'
        if bold:
            attributes += ' font-weight="600"'
        title = "" if shown == content else f"<title>{escape(content)}</title>"
        self.elements.append(f"<text {attributes}>{escape(shown)}{title}</text>")

    def document(self, width: float, height: float, title: str, description: str) -> str:
        """The elements as a whole file on a white ground, complete in itself."""
        w, h = number(width), number(height)
        box = f'viewBox="0 0 {w} {h}" width="{w}" height="{h}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box} font-family={quoteattr(FONT)}>',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *self.elements,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"


def _paint(fill: str, stroke: str, line: float) -> str:
    edge = "" if stroke == "none" else f' stroke="{stroke}" stroke-width="{number(line)}"'
    return f' fill="{fill}"{edge}'


def number(value: float) -> str:
    """Two digits at most behind the point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text_width(content: str, size: float, bold: bool = False) -> float:
    """About how wide a line is, on the wide side: fonts differ from machine to machine."""
    narrow = sum(c in "ijl.,:;'|()[]tfrI " for c in content)
    return size * (0.7 if bold else 0.64) * (len(content) - 0.4 * narrow)


def shortened(content: str, size: float, width: float, bold: bool = False) -> str:
    """The text, or its beginning with an ellipsis where it is wider than `width`."""
    if text_width(content, size, bold) <= width:
        return content
    while content and text_width(content + "…", size, bold) > width:
        content = content[:-1]
    return content.rstrip(" ,(=") + "…"
