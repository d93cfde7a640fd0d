"""Candidates that are counted stretch by stretch are those that are elaborated in one go."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

import pytest

from archdsl.diagnostics import DiagnosticError
from archdsl.graph.variation import Base
from archdsl.nas import assembly
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.choosers import Drawn
from archdsl.nas.read import read_search
from archdsl.nas.space import Candidate, Point, Refusal

HEAD = "task = digits(epochs = 9); maximize = accuracy; budget = trials(9)"
STAGES = "tiny_stages(dim = 8)"
SPACES = {
    "blocks and widths": (
        "tiny(dim = 16)",
        """dim in one_of(8, 16, 24)
        s1.blocks in one_of(1, 2) x one_of(gated_conv, conv)
        s2.blocks in 3 x each one_of(scan, attn, none)""",
    ),
    "what opens stages": (
        STAGES,
        """norm in one_of(layer_norm, rms_norm)
        s2.downsample in one_of(conv2d(1, 8), conv2d(2, 16, stride = 2), conv2d(1, 16))
        s3.within in one_of(none, windows(2), windows(3))
        s3.feature_norm in one_of(none, layer_norm)
        s3.blocks in 2 x each one_of(mamba, self_attn)
        image in one_of(32, 64)""",
    ),
    "single blocks": (
        STAGES,
        """s3.blocks[0].norm in one_of(layer_norm, rms_norm)
        s4.blocks in one_of(2 x mamba, self_attn)
        s4.blocks[1] in one_of(mamba, self_attn)
        drop_path in one_of(0, 0.1)""",
    ),
    "ends": (
        "tiny(dim = 16)",
        """stem in one_of(patch_embed(2, dim), patch_embed(2, dim) -> gelu, patch_embed(4, 8))
        head in one_of(norm -> pool(mean) -> linear(classes), pool(max) -> linear(classes))
        s1.dim in one_of(16, 32)
        s2.blocks in one_of(scan, attn(heads = 3), attn)
        init in one_of(vim, vmamba)""",
    ),
    "texts that look at blocks": (
        "tiny(dim = 16)",
        "s1.blocks in one_of(attn, conv)\n s1.heads in one_of(2, 4, blocks)",
    ),
}


def candidates_of(folder: Path, name: str) -> VariedCandidates:
    arch, lines = SPACES[name]
    path = folder / "example.search"
    path.write_text(
        f"search example {{\n{HEAD}; arch = {arch}\nvary {{ {lines} }}\nrequire params <= 300K\n}}\n"
    )
    candidates = read_search(path).candidates
    assert isinstance(candidates, VariedCandidates)
    return candidates


def elaborated(candidates: VariedCandidates, base: Base, point: Point) -> list[str]:
    """The key of a candidate, or the reasons for a refusal, by way of the whole architecture."""
    values = candidates.space.values(point)
    fields = {line.field: value for line, value in values if line.field is not None}
    try:
        counted = base.count(base.at([(line.path, value) for line, value in values if line.field is None]))
    except DiagnosticError as error:
        return [f"{d.message}: {d.label}" if d.label else d.message for d in error.diagnostics]
    task = candidates.with_fields(fields).text()
    text = json.dumps([counted.training, task, list(candidates.seeds)])
    return [f"{hashlib.sha256(text.encode()).hexdigest()} {counted.cost.params} {counted.cost.macs.total}"]


@pytest.mark.parametrize("name", SPACES)
def test_candidates_are_those_that_are_elaborated_as_a_whole(tmp_path: Path, name: str) -> None:
    candidates = candidates_of(tmp_path, name)
    base = Base(candidates.base.plan, candidates.base.sight)
    random = Random(0)
    kinds = set()
    for _ in range(40):
        point = candidates.space.draw(Drawn(random, {}))
        found = candidates.whatever_required(point)
        kinds.add(type(found))
        if isinstance(found, Refusal):
            assert found.reason in elaborated(candidates, base, point)
        else:
            assert [f"{found.key} {found.params} {found.macs}"] == elaborated(candidates, base, point)
            assert found.architecture.cost().params == found.params
    assert Candidate in kinds


def test_only_architectures_that_are_asked_for_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = candidates_of(tmp_path, "blocks and widths")
    asked: list[object] = []
    at = Base.at
    monkeypatch.setattr(Base, "at", lambda self, changes=(): asked.append(changes) or at(self, changes))
    points = list(candidates.space.points())
    found = [candidates.whatever_required(point) for point in points]
    keys = {c.key for c in found if isinstance(c, Candidate)}
    assert len(points) == len(found) > len(keys)
    assert asked == []
    assert isinstance(found[0], Candidate)
    assert found[0].architecture is found[0].architecture
    assert len(asked) == 1


def test_bounds_of_a_whole_architecture_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = candidates_of(tmp_path, "blocks and widths")
    points = [candidates.space.draw(Drawn(Random(n), {})) for n in range(9)]
    wanted = [candidates.whatever_required(point) for point in points]
    for bound in ("MAX_PARAMETERS", "MAX_NODES", "MAX_BLOCKS"):
        monkeypatch.setattr(assembly, bound, 0)
        found = [candidates.whatever_required(point) for point in points]
        assert [c.key for c in found if isinstance(c, Candidate)] == [
            c.key for c in wanted if isinstance(c, Candidate)
        ]


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = candidates_of(tmp_path, "blocks and widths")
    points = list(wanted.space.points())[:200]
    keys = [c.key for c in map(wanted.whatever_required, points) if isinstance(c, Candidate)]
    for place in (
        "archdsl.nas.assembly",
        "archdsl.nas.domains",
        "archdsl.graph.walk",
        "archdsl.graph.sections",
    ):
        monkeypatch.setattr(f"{place}.KEPT", 3)
    monkeypatch.setattr("archdsl.graph.variation.KEPT", 10)
    monkeypatch.setattr("archdsl.graph.variation.WALKS", 1)
    few = candidates_of(tmp_path, "blocks and widths")
    assert keys == [c.key for c in map(few.whatever_required, points) if isinstance(c, Candidate)]
