"""The shipped families as a page, `docs/families.md`: counts beside published ones; `make docs` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from archdsl.graph.comparison import Compared, compare_with_published
from archdsl.graph.elaboration.files import Unit, load_file
from archdsl.graph.library import folder, shipped
from archdsl.graph.listing import Listed, Papers, about, numbered
from archdsl.graph.load import load
from archdsl.graph.published import CONVENTIONS, beside
from archdsl.graph.recipes import init_recipes
from archdsl.graph.views.summary import UNITS, short

_ABLATIONS = "ablations"

_INTRO = f"""\
# Families

What is shipped in `specs/`, counted, beside what is printed of it.
{UNITS}.

≠ marks a printed count that is not ours, rounded to as many digits; the note says why, as far as it is known.
"Counted likewise" is our count of what the paper counts, where that is not all but scans; `scan9` stands for
{CONVENTIONS["scan9"]}, `norms` for
{CONVENTIONS["norms"]}, as fvcore counts them.
What was looked for in vain is "not found".

`archdsl cost --all specs/mamba_r.arch` prints such a table. It finds the printed figures in
`specs/mamba_r.published.toml`; how to write such a file is in
[language.md](language.md#published-figures-beside-a-spec). This page is written by `make docs`."""


def markdown() -> str:
    """Every shipped file that has published figures, with all of its architectures; the ablations last."""
    files = [path for path in shipped() if beside(path).is_file()]
    out = [_INTRO]
    for path in files:
        if path.parent.name != _ABLATIONS:
            out += _family(path, "##")
    out.append("\n## Ablations")
    for path in files:
        if path.parent.name == _ABLATIONS:
            out += _family(path, "###")
    out += _initial_values()
    return "\n".join(out) + "\n"


def _family(path: Path, heading: str) -> Iterator[str]:
    unit = load_file(path)
    rows = _rows(unit, path)
    yield f"\n{heading} {path.relative_to(folder()).as_posix()}\n"
    said = about(unit)
    yield said if said.endswith("?") else f"{said}."
    published = [row.published for row in rows if row.published is not None]
    sources = list(dict.fromkeys(p.figures.source for p in published if p.figures.source))
    images = {row.architecture.image for row in rows}
    at = "At {} x {}. ".format(*images.pop()) if len(images) == 1 else ""
    yield f"{at}Published in {'; '.join(sources)}.\n"
    notes = numbered(rows)
    yield from _table(_columns(rows, notes))
    if notes:
        yield ""
    for note, number in notes.items():
        yield f"{number}. {_escaped(note)}"


def _initial_values() -> Iterator[str]:
    yield "\n## Initial values\n"
    yield "What `init` may name; `trunc_normal` where nothing does.\n"
    yield "| init | what is drawn | source |"
    yield "| --- | --- | --- |"
    for recipe in init_recipes().values():
        numbers = ", ".join(f"{name} = {default:g}" for name, default in recipe.parameters)
        call = f"{recipe.name}({numbers})" if numbers else recipe.name
        yield f"| `{call}` | {recipe.summary} | {recipe.source} |"


def _rows(unit: Unit, path: Path) -> list[Listed]:
    papers = Papers(unit)
    rows = []
    for arch in unit.arches:
        architecture = load(path, arch)
        cost = architecture.cost()
        figures = papers.figures(arch)
        compared = compare_with_published(architecture, cost, figures) if figures is not None else None
        rows.append(Listed(architecture, cost, compared))
    return rows


def _columns(rows: Sequence[Listed], notes: Mapping[str, int]) -> dict[str, list[str]]:
    """The cells under each heading; a column without any text is left out."""
    columns: dict[str, list[str]] = {}

    def add(heading: str, *cells: str) -> None:
        columns.setdefault(heading, []).extend(cells)

    images = ["{} x {}".format(*row.architecture.image) for row in rows]
    for row, image in zip(rows, images, strict=True):
        macs, p = row.cost.macs, row.published
        add("arch", f"`{row.architecture.name}`")
        add("image", image if len(set(images)) > 1 else "")
        add("params", f"{row.cost.params:,}")
        add("MACs", short(macs.total))
        add("scan MACs", short(macs.scan) if macs.scan else "")
        add("published as", _escaped(p.figures.row) if p else "")
        add("in", _escaped(p.figures.table) if p else "")
        add("params, published", _printed(p.figures.params, p.params) if p else "")
        add("MACs, published", _printed(p.figures.macs, p.macs) if p else "")
        otherwise = p is not None and p.counts_otherwise
        add("counted likewise", _likewise(p.macs, p.figures.macs_of) if p and p.macs and otherwise else "")
        add("top-1", "" if p is None or p.figures.top1 is None else str(p.figures.top1))
        add("note", str(notes.get(p.note, "")) if p else "")
    return {heading: cells for heading, cells in columns.items() if any(cells)}


def _printed(printed: str | None, compared: Compared | None) -> str:
    return (printed or "") + ("" if compared is None or compared.agrees else " ≠")


def _likewise(compared: Compared, classes: Sequence[str]) -> str:
    return f"{short(compared.ours)} ({' + '.join(classes)})"


def _table(columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Numbers to the right, texts to the left."""
    left = {"arch", "published as", "in", "image"}
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' if heading in left else '---:' for heading in columns)} |"
    for cells in zip(*columns.values(), strict=True):
        yield f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in "\\`*_|<":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    print(markdown(), end="")
