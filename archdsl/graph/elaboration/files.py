"""Spec files with the files they use: what is defined where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span, closest
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Body, Cell, Scope
from archdsl.graph.library import PRELUDE, folder
from archdsl.lang import parse, read
from archdsl.lang import tree as t

MAX_DEPTH = 20
"""How deep `use` may go."""
MAX_FILES = 200

_Definition = t.MixerDef | t.BlockDef | t.ArchDef | t.VariantDef | t.Let


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A mixer or a block with the file whose names it sees."""

    tree: t.MixerDef | t.BlockDef
    unit: Unit

    @property
    def name(self) -> str:
        """As defined."""
        return self.tree.name

    @property
    def is_block(self) -> bool:
        """Whether it stands in `blocks`, not in a pipeline."""
        return isinstance(self.tree, t.BlockDef)


@dataclass(slots=True, eq=False)
class Unit:
    """One file.

    Args:
        source: its text.
        path: where it lies; None for texts that are no file.
        root: the folder that `use` does not leave.
        library: whether it is shipped.
        used: the files it uses.
        definitions: its mixers and blocks.
        arches: its architectures and variants, in order.
        lets: its file-level values.
        faults: what is wrong with its `use` lines and names.
    """

    source: Source
    path: Path | None
    root: Path
    library: bool = False
    used: tuple[Unit, ...] = ()
    definitions: dict[str, Definition] = field(default_factory=dict)
    arches: dict[str, t.ArchDef | t.VariantDef] = field(default_factory=dict)
    lets: dict[str, Cell] = field(default_factory=dict)
    faults: list[Diagnostic] = field(default_factory=list)

    def own(self, name: str) -> Definition | Cell | None:
        """The mixer, block or value that this file defines under a name."""
        return self.definitions.get(name) or self.lets.get(name)

    def lookup(self, name: str, span: Span | None = None) -> Definition | Cell | None:
        """The mixer, block or value of that name, here or in a used file; not in the prelude.

        Raises:
            SpecError: E210 where two used files define it.
        """
        if found := self.own(name):
            return found
        there = [(u, d) for u in self.used if (d := u.own(name)) is not None]
        if len({id(d) for _, d in there}) > 1:
            raise _ambiguous(name, [u for u, _ in there], span)
        return there[0][1] if there else None

    def arch(self, name: str, span: Span | None = None) -> tuple[t.ArchDef | t.VariantDef, Unit] | None:
        """The architecture of that name, here or in a used file, with its file.

        Raises:
            SpecError: E210 where two used files define it.
        """
        if name in self.arches:
            return self.arches[name], self
        there = [u for u in self.used if name in u.arches]
        if len({id(u) for u in there}) > 1:
            raise _ambiguous(name, there, span)
        return (there[0].arches[name], there[0]) if there else None

    def names(self) -> Iterator[str]:
        """Mixers, blocks and values in sight, without the prelude's."""
        for unit in (self, *self.used):
            yield from unit.definitions
            yield from unit.lets

    def arch_names(self) -> Iterator[str]:
        """Architectures in sight."""
        for unit in (self, *self.used):
            yield from unit.arches

    def all_units(self) -> Iterator[Unit]:
        """This file and all it uses, each once."""
        seen: set[int] = set()
        todo = [self]
        while todo:
            unit = todo.pop(0)
            if id(unit) not in seen:
                seen.add(id(unit))
                yield unit
                todo += unit.used


def _ambiguous(name: str, units: list[Unit], span: Span | None) -> SpecError:
    where = " and ".join(dict.fromkeys(u.source.name for u in units))
    return mistake(
        "E210", f"`{name}` is defined in two used files", span, f"defined in {where}",
        help="rename one, or define it in this file",
    )  # fmt: skip


def load_file(path: str | Path) -> Unit:
    """A spec file with all it uses. Mistakes in `use` lines are kept in the files' `faults`.

    Raises:
        DiagnosticError: E501, E104, E105 and E1 mistakes of the file itself.
    """
    real = Path(path).resolve()
    source = _parsed_source(Path(path), real)
    library = real.is_relative_to(folder())
    root = folder() if library else real.parent
    return _Loading(root).unit(source, real, library, ())


def load_text(source: Source, root: Path) -> Unit:
    """A spec that is no file; `use` resolves relative to `root`.

    Raises:
        DiagnosticError: with the E1 mistakes of the text.
    """
    return _Loading(root).unit(source, None, False, ())


def load_values(source: Source, path: Path | None, uses: Sequence[t.Use], lets: Sequence[t.Let]) -> Unit:
    """What the values of a file that is no `.arch` file see: the files it uses, and its lets.

    Mistakes in these lines are kept in the files' `faults`.

    Args:
        source: its text.
        path: where it lies, None for a text that is no file.
        uses: its `use` lines.
        lets: values that are read as if written in an arch: their calls take what they leave out from the
            settings of the place where they are used.
    """
    real = path.resolve() if path is not None else None
    unit = Unit(source, real, Path.cwd() if real is None else real.parent)
    loading = _Loading(unit.root)
    loading.use(unit, uses, ())
    for let in lets:
        _define(unit, let, open=True)
    return unit


@lru_cache(maxsize=1)
def prelude() -> Unit:
    """The standard library, always in scope."""
    return load_file(folder() / PRELUDE)


_parsed: dict[Path, tuple[tuple[int, int], Source]] = {}
_trees: dict[Source, t.File] = {}


def _parsed_source(shown: Path, real: Path) -> Source:
    """The text of a file, read again only where the file changed; its tree is kept with it."""
    try:
        status = real.stat()
        stamp = (status.st_mtime_ns, status.st_size)
    except OSError:
        return read(shown)
    kept = _parsed.get(real)
    if kept is not None and kept[0] == stamp and kept[1].name == str(shown):
        return kept[1]
    source = read(shown)
    _parsed[real] = (stamp, source)
    return source


def _tree(source: Source) -> t.File:
    tree = _trees.get(source)
    if tree is None:
        tree = parse(source)
        if len(_trees) >= MAX_FILES:
            _trees.clear()
        _trees[source] = tree
    return tree


class _Loading:
    """Loads one file with all it uses, each once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.units: dict[Path, Unit] = {}

    def unit(self, source: Source, path: Path | None, library: bool, circle: tuple[Path, ...]) -> Unit:
        unit = Unit(source, path, folder() if library else self.root, library)
        if path is not None:
            self.units[path] = unit
        statements = _tree(source).statements
        self.use(unit, [s for s in statements if isinstance(s, t.Use)], circle)
        for statement in statements:
            if not isinstance(statement, t.Use):
                _define(unit, statement)
        return unit

    def use(self, unit: Unit, uses: Iterable[t.Use], circle: tuple[Path, ...]) -> None:
        """Loads the files that a file uses."""
        used: list[Unit] = []
        for line in uses:
            try:
                used.append(self._use(unit, line, circle))
            except (SpecError, DiagnosticError) as error:
                unit.faults += error.diagnostics
        unit.used = tuple(dict.fromkeys(used))

    def _use(self, unit: Unit, use: t.Use, circle: tuple[Path, ...]) -> Unit:
        path, library = _find(unit, use)
        if path == unit.path or path in circle:
            chain = [*circle, *([unit.path] if unit.path else []), path]
            chain = chain[chain.index(path) :]
            raise mistake(
                "E208", "files use each other in a circle", use.span, "this closes the circle",
                notes=(" uses ".join(p.name for p in chain),),
                help="move what both need into a third file",
            )  # fmt: skip
        if path in self.units:
            return self.units[path]
        if len(circle) >= MAX_DEPTH or len(self.units) >= MAX_FILES:
            raise mistake(
                "E209", f"`use` goes deeper than {MAX_DEPTH} files", use.span, "one too many",
                help="join some of the files",
            )  # fmt: skip
        shown = Path(use.path) if library else _shown(unit, path)
        source = _parsed_source(path if library else shown, path)
        inside = (*circle, unit.path) if unit.path else circle
        return self.unit(source, path, library, inside)


def _shown(unit: Unit, path: Path) -> Path:
    """The path of a used file as the user would write it, beside the name of the using file."""
    if unit.path is None or not unit.source.name.endswith(unit.path.name):
        return path
    base = Path(unit.source.name).parent
    try:
        return base / path.relative_to(unit.path.parent)
    except ValueError:
        return path


def _find(unit: Unit, use: t.Use) -> tuple[Path, bool]:
    """The file that a `use` line means, and whether it is a shipped one."""
    written = Path(use.path)
    label = ""
    candidates: list[tuple[Path, bool]] = []
    try:
        if written.is_absolute() or not use.path:
            label = "an absolute path" if use.path else "an empty path"
        else:
            here = ((unit.path.parent if unit.path else unit.root) / written).resolve()
            shipped = (folder() / written).resolve()
            if not here.is_relative_to(unit.root):
                label = f"leaves the folder `{unit.root.name or unit.root}`"
            elif here.is_file():
                candidates.append((here, unit.library))
            if ".." not in written.parts and shipped.is_relative_to(folder()) and shipped.is_file():
                candidates.append((shipped, True))
    except (OSError, ValueError, RuntimeError):
        label = "no path"
    others = [c for c in candidates if c[0] != unit.path]
    if others or candidates:
        return (others or candidates)[0]
    if label:
        raise mistake(
            "E209", f"`use` refuses `{use.path}`" if use.path else "`use` names no file", use.span, label,
            help="use a file beside or below the spec, or a shipped one",
        )  # fmt: skip
    near = [p.relative_to(unit.root) for p in sorted(unit.root.glob("*.arch")) if p != unit.path]
    near += [p.relative_to(folder()) for p in folder().rglob("*.arch")]
    like = closest(use.path.removesuffix(".arch"), [p.with_suffix("").as_posix() for p in near])
    step = f"did you mean `{like}.arch`?" if like else "use a file beside or below the spec, or a shipped one"
    raise mistake(
        "E209", f"there is no file `{use.path}`", use.span, "not found here and not shipped", help=step
    )


def _define(unit: Unit, statement: _Definition, *, open: bool = False) -> None:
    taken = unit.own(statement.name) or unit.arches.get(statement.name)
    arch = isinstance(statement, t.ArchDef | t.VariantDef)
    if taken is not None and arch == (statement.name in unit.arches):
        unit.faults += defined_twice(statement.name, statement.name_span, _name_span(taken)).diagnostics
        return
    if isinstance(statement, t.ArchDef | t.VariantDef):
        unit.arches[statement.name] = statement
    elif isinstance(statement, t.Let):
        line = len(unit.lets)
        scope = Scope((unit,), Body(unit.lets), line, open=open)
        unit.lets[statement.name] = Cell(
            statement.name, "let", "given", statement.value, scope, line, statement.name_span
        )
    else:
        unit.definitions[statement.name] = Definition(statement, unit)


def _name_span(what: Definition | Cell | t.ArchDef | t.VariantDef) -> Span | None:
    return what.tree.name_span if isinstance(what, Definition) else what.name_span


def defined_twice(name: str, span: Span | None, first: Span | None) -> SpecError:
    """E207 at the second of two definitions of a name."""
    where = f"first defined at line {first.line}" if first else "defined before"
    return mistake("E207", f"`{name}` is defined twice", span, where, help="rename or remove one")
