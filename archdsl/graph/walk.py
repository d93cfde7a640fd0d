"""An architecture as a walk from stem to head: every stretch of it is built once.

The values of an arch's lines hold everywhere; those of a stage's lines only inside it. Its blocks depend on
both and on the feature that enters, not on each other. So a stretch of the way - a stem, what opens a stage,
a block, a head - is the same in every architecture that has it, and they are put together from stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from archdsl.diagnostics import DiagnosticError
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.canonical import Canonical
from archdsl.graph.digest import StageForm, digest_of, training_digest_of, training_start
from archdsl.graph.elaboration.build import MAX_NODES, Builder
from archdsl.graph.elaboration.elaborate import MAX_PARAMETERS, architecture, prepared
from archdsl.graph.elaboration.ends import Ends
from archdsl.graph.elaboration.evaluate import evaluate, value_of
from archdsl.graph.elaboration.files import Unit
from archdsl.graph.elaboration.frames import Frame, StageFrame, again, place_of
from archdsl.graph.elaboration.memory import Memory
from archdsl.graph.elaboration.openings import Journey, open_stage
from archdsl.graph.elaboration.overrides import apply_in_stage
from archdsl.graph.elaboration.report import Report
from archdsl.graph.elaboration.sequences import MAX_BLOCKS
from archdsl.graph.elaboration.stages import blocks_of, feature_norm, in_place, parts_in, values
from archdsl.graph.elaboration.taken import Taken
from archdsl.graph.elaboration.variants import Given, Plan
from archdsl.graph.memory.training import image_layout
from archdsl.graph.node import Node
from archdsl.graph.opening import Inside, Opening, Walked
from archdsl.graph.sections import Counts, Section
from archdsl.lang import to_text
from archdsl.lang import tree as t

__all__ = ["MAX_BLOCKS", "MAX_NODES", "MAX_PARAMETERS", "Opening", "Section", "Walk", "Walked"]

BLOCKS = "blocks"
KEPT = 20_000
"""Openings of a walk, heads of a walk, and blocks of an opening that are remembered."""

Change = tuple[t.Path, t.Expr]
"""A place and the value that is put there."""


class Walk:
    """All architectures with the same values for the lines of an arch; those of its stages are open.

    Made by `Base.walk`. Mistakes are told of one stretch alone, without notes on how a feature came about;
    `Base.at` tells all of an architecture.

    Args:
        plan: with these values; its keys tell them from others.
        writer: the file whose definitions values of stages see.
        memory: of top nodes.
        counts: of sections.
        taken: takes note of the settings that find a taker.

    Raises:
        DiagnosticError: where the lines of the arch or its stem are wrong.

    Attributes:
        stages: their names, in order.
        stem: from the image to the first stage.
        start: what leaves the stem.
        image, channels, classes: of all the architectures.
    """

    def __init__(self, plan: Plan, writer: Unit, memory: Memory, counts: Counts, taken: Taken) -> None:
        report = Report()
        self._writer = writer
        self._memory = memory
        self._counts = counts
        self._taken = taken
        ready = prepared(plan, report)
        if ready is None:
            raise DiagnosticError(*report.sorted())
        self._frame: Frame = ready.frame
        builder = Builder(memory)
        self._ends = Ends(ready.frame, report, builder)
        self._ends.slots()
        journey = Journey(self._ends.image)
        self.start = self._ends.build_stem(journey)
        if not ready.frame.stages:
            report.add(*self._ends.lacks_stages().diagnostics)
        ready.judge(report)
        self._wanted = self._ends.wanted
        taken.look(self._frame, None, self._wanted, failed=bool(report.faults))
        if report.faults or self._ends.stem is None:
            raise DiagnosticError(*report.sorted())
        self.stages = tuple(s.tree.name for s in ready.frame.stages)
        self.image = self._ends.image
        self._start = training_start(self.image, self._ends.init)
        self.channels = self._ends.channels
        self.classes = self._ends.classes
        stem = self._ends.stem
        self.stem = counts.section((stem,), builder.nodes, image_layout(stem.input))
        self._given = {
            s: tuple(g for g in plan.given if len(g.path.steps) > 1 and g.path.steps[0].name == s)
            for s in self.stages
        }
        self._openings: dict[object, Opening | DiagnosticError] = {}
        self._heads: dict[Feature, Section | DiagnosticError] = {}

    def opening(self, stage: str, changes: Sequence[Change], x: Feature) -> Opening:
        """What opens a stage, behind `x`.

        Args:
            stage: its name.
            changes: values for its lines, later ones over earlier ones; those of `blocks` make no difference.
            x: what enters.

        Raises:
            DiagnosticError: where something in it is wrong.
        """
        own = [change for change in changes if change[0].steps[1].name != BLOCKS]
        lines = tuple(f"{path} = {to_text(expr)}" for path, expr in own)
        key = (stage, lines, x)
        found = self._openings.get(key)
        if found is None:
            if len(self._openings) >= KEPT:
                self._openings.clear()
            try:
                found = self._open(stage, own, lines, x)
            except DiagnosticError as error:
                found = error
            self._openings[key] = found
        if isinstance(found, DiagnosticError):
            raise found
        return found

    def block(self, stage: str, changes: Sequence[Change], opening: Opening, expr: t.Expr) -> Section:
        """One term of `blocks`: `scan`, `2 x mamba`, `none`. The terms of a sum are its sections in a row.

        Args:
            stage: its name.
            changes: those of the opening.
            opening: of that stage.
            expr: what is put into `blocks`, or one of the terms of it.

        Raises:
            DiagnosticError: where something in it is wrong.
        """
        inside = opening.inside
        if (seen := inside.seen.get(id(expr))) is not None:
            return seen[1]
        if len(inside.seen) >= KEPT:
            inside.seen.clear()
        key = to_text(expr)

        def build(report: Report) -> Iterator[Node]:
            parts = parts_in(evaluate(expr, inside.scope), expr, inside.scope)
            return in_place(parts, inside.opened, inside.builder, report)

        found = inside.blocks.get(key) or self._section(inside, inside.stage, key, (id(expr), expr), build)
        inside.seen[id(expr)] = expr, found
        return found

    def written_blocks(self, stage: str, changes: Sequence[Change], opening: Opening) -> tuple[Section, ...]:
        """All blocks of a stage as the base has them, or as changes of `blocks` and single blocks make them.

        Args:
            stage: its name.
            changes: those of the opening, and of `blocks`.
            opening: of that stage.

        Raises:
            DiagnosticError: where something in them is wrong.
        """
        inside = opening.inside
        edits = [change for change in changes if change[0].steps[1].name == BLOCKS]
        key = tuple(f"{path} = {to_text(expr)}" for path, expr in edits)
        found = inside.blocks.get(key)
        if found is None:
            wrong = Report()
            stage_frame = self._behind(opening, changes, wrong)

            def build(report: Report) -> Iterator[Node]:
                report.add(*wrong.diagnostics)
                return blocks_of(stage_frame, inside.opened, inside.builder, report)

            found = self._section(inside, stage_frame, key, (key, None), build)
        return (found,)

    def _section(
        self,
        inside: Inside,
        frame: StageFrame,
        key: object,
        mark: tuple[object, object],
        build: Callable[[Report], Iterable[Node]],
    ) -> Section:
        """Builds blocks and remembers them; mistakes by their mark, together with what has to stay alive."""
        known = inside.wrong.get(mark[0])
        if known is not None:
            raise known[1]
        if len(inside.blocks) + len(inside.wrong) >= KEPT:
            inside.blocks.clear()
            inside.wrong.clear()
            inside.builder = Builder(self._memory)
        report = Report()
        inside.builder.begin()
        nodes: tuple[Node, ...] = ()
        with report.guard():
            nodes = tuple(build(report))
        self._look(inside, frame, report)
        if report.faults:
            error = DiagnosticError(*report.sorted())
            inside.wrong[mark[0]] = mark[1], error
            raise error
        section = inside.blocks[key] = self._counts.blocks(nodes, inside.builder.nodes)
        return section

    def head(self, x: Feature) -> Section:
        """From the last stage to the logits; without nodes where there is none.

        Raises:
            DiagnosticError: where something in it is wrong, or it does not end at the classes.
        """
        found = self._heads.get(x)
        if found is None:
            report = Report()
            self._ends.builder.begin()
            node = self._ends.head(x, report)
            self._taken.look(self._frame, None, self._wanted, failed=bool(report.faults))
            if report.faults:
                found = DiagnosticError(*report.sorted())
            else:
                found = self._counts.section(() if node is None else (node,), self._ends.builder.nodes)
            self._heads[x] = found
        if isinstance(found, DiagnosticError):
            raise found
        return found

    def digest(self, stages: Walked, head: Section) -> str:
        """The digest of an architecture put together from sections, see `archdsl.graph.digest.digest`."""
        rows = self._stage_forms(stages, self._counts.form, lambda section: section.form)
        last = head.form if head.nodes else None
        return digest_of(self.channels, self.classes, self.stem.form, rows, last)

    def training_digest(self, stages: Walked, head: Section) -> str:
        """The digest that sees what only training does, see `archdsl.graph.digest.training_digest`."""
        rows = self._stage_forms(stages, self._counts.training, lambda section: section.training)
        last = head.training if head.nodes else None
        return training_digest_of(self._start, self.channels, self.classes, self.stem.training, rows, last)

    def _stage_forms(
        self, stages: Walked, form: Canonical, of: Callable[[Section], tuple[str, ...]]
    ) -> Iterator[StageForm]:
        for o, sections in stages:
            yield StageForm(
                form.within(o.within, o.output),
                () if o.downsample is None else of(o.downsample),
                tuple(chain.from_iterable(map(of, sections))),
                () if o.feature_norm is None else of(o.feature_norm),
            )

    def architecture(
        self, changes: Mapping[str, Sequence[Change]], stages: Walked, head: Section
    ) -> Architecture:
        """The architecture put together from sections.

        Args:
            changes: by stage, those that led to its opening and its blocks.
            stages: in order.
            head: behind them.
        """
        made = (self._made(changes.get(o.stage, ()), o, sections) for o, sections in stages)
        return architecture(self._ends, made, head.nodes[0] if head.nodes else None)

    def _made(self, changes: Sequence[Change], o: Opening, sections: Iterable[Section]) -> Stage:
        frame = self._behind(o, changes, Report())
        for cell in frame.body.names.values():
            value_of(cell)
        return Stage(
            o.stage, o.input, o.output, tuple(n for section in sections for n in section.nodes),
            o.downsample.nodes[0] if o.downsample is not None else None, o.within,
            o.feature_norm.nodes[0] if o.feature_norm is not None else None,
            values(frame.body), frame.tree.name_span,
        )  # fmt: skip

    def _stage(self, name: str, changes: Sequence[Change], report: Report) -> StageFrame:
        """A stage with the values of the base and others in their places."""
        number = self.stages.index(name)
        stage = again(self._frame, self._frame.stages[number])
        for given in (*self._given[name], *(Given(path, expr, self._writer) for path, expr in changes)):
            with report.guard():
                apply_in_stage(stage, given)
        return stage

    def _behind(self, opening: Opening, changes: Sequence[Change], report: Report) -> StageFrame:
        """The stage of an opening with values for its blocks."""
        stage = self._stage(opening.stage, changes, report)
        width = opening.inside.stage.body.names.get("dim")
        if width is not None:
            stage.body.names.setdefault("dim", width)
        return stage

    def _open(self, name: str, changes: Sequence[Change], lines: tuple[str, ...], x: Feature) -> Opening:
        report = Report()
        builder = Builder(self._memory)
        stage = self._stage(name, changes, report)
        journey = Journey(self.image, known=False)
        first = name == self.stages[0]
        key = (name, self._frame.plan.keys.get(""), lines)
        opened = open_stage(self._frame, stage, first, x, builder, report, journey, key)
        before = builder.nodes
        norm = None
        with report.guard():
            norm = feature_norm(self._frame, stage, opened, builder)
        scope = place_of(stage.body, BLOCKS, self._writer, stage.scope)
        inside = Inside(stage, opened, builder, scope)
        self._look(inside, stage, report)
        if report.faults:
            raise DiagnosticError(*report.sorted())
        down = opened.downsample
        return Opening(
            name, x, opened.output, opened.inner,
            None if down is None else self._counts.section((down,), before), opened.within,
            None if norm is None else self._counts.section((norm,), builder.nodes - before, None), inside,
        )  # fmt: skip

    def _look(self, inside: Inside, stage: StageFrame, report: Report) -> None:
        """Takes note of the settings that found a taker in a stage."""
        failed = bool(report.faults)
        self._wanted |= inside.opened.site.wanted
        self._taken.look(self._frame, stage, inside.opened.site.wanted, failed=failed)
        self._taken.look(self._frame, None, self._wanted, failed=failed)
