"""Loading and checking files: what is found where, several faults at once, bounds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archdsl
from archdsl.diagnostics import DiagnosticError, Source
from archdsl.graph.elaboration.files import load_text
from archdsl.graph.node import total_params

Write = Callable[..., Path]
NAMES = ["scan", "attn", "mamba", "linear", "windows", "norm", "depth", "same", "off", "3", "[1]", "both"]
CALLS = ["", "()", "(3)", "(3, 4)", "(heads = 2)", "(norm)", "(scan)", "[0]", "(order = scan)"]
SLOTS = ["blocks", "within", "dim", "downsample", "heads"]


def small(stage: str = "blocks = scan", name: str = "a", head: str = "pool(mean) -> linear(classes)") -> str:
    stem = "stem = patch_embed(16, dim)"
    return f"arch {name}(dim = 16) {{\n  {stem}\n  stage s1 {{ {stage} }}\n  head = {head}\n}}\n"


def codes(path: Path) -> list[tuple[str, int]]:
    return [(d.code, d.span.line if d.span else 0) for d in archdsl.check(path)]


def refused(*args: object, **kwargs: object) -> list[str]:
    with pytest.raises(DiagnosticError) as error:
        archdsl.load(*args, **kwargs)  # type: ignore[arg-type]
    return [d.code for d in error.value.diagnostics]


class TestWhichArch:
    def test_shipped_names(self) -> None:
        assert archdsl.load("mamba_r_tiny").name == "mamba_r_tiny"
        assert archdsl.load("mamba_r").stages[0].feature.dim == 768

    def test_named_like_the_file_else_the_first(self, write: Write) -> None:
        path = write(small(name="b") + small(name="a"))
        assert archdsl.load(path).name == "a"
        assert archdsl.load(str(path), "b").name == "b"
        assert archdsl.load(write(small(name="b") + small(name="c"))).name == "b"

    def test_a_folder_named_like_an_arch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mamba_r").mkdir()
        monkeypatch.chdir(tmp_path)
        assert archdsl.load("mamba_r").name == "mamba_r"
        assert refused("x" * 10_000) == ["E509"]

    def test_unknown(self, write: Write, tmp_path: Path) -> None:
        assert refused("mamba_r_tini") == ["E509"]
        assert refused(write(small()), "b") == ["E509"]
        assert refused(write("mixer m = gelu\n")) == ["E509"]
        assert refused(tmp_path / "none.arch") == ["E501"]

    @pytest.mark.parametrize("spec", sorted((Path(__file__).parents[2] / "specs").rglob("*.arch")), ids=str)
    def test_shipped_specs_are_clean(self, spec: Path) -> None:
        assert archdsl.check(spec) == []


class TestUse:
    def test_the_library_from_anywhere(self, write: Write) -> None:
        path = write('use "mamba_r.arch"\narch mine = mamba_r_tiny(depth = 2)\n')
        assert len(archdsl.load(path).stages[0].blocks) == 2

    def test_a_folder_below_may_not_leave_the_root(self, write: Write) -> None:
        write("mixer top = gelu\n", "top.arch")
        write('use "../top.arch"\nmixer low = top\n', "parts/low.arch")
        path = write('use "parts/low.arch"\n' + small("blocks = metaformer(low)"))
        assert archdsl.check(path) == []
        outside = write('use "../a.arch"\n' + small(), "inner/b.arch")
        assert codes(outside) == [("E209", 1)]

    def test_a_link_that_leaves_the_root(self, write: Write, tmp_path: Path) -> None:
        secret = write("mixer secret = gelu\n", "secret.arch")
        path = write('use "link.arch"\n' + small(), "root/a.arch")
        (path.parent / "link.arch").symlink_to(secret)
        assert codes(path) == [("E209", 1)]

    def test_a_missing_file_is_one_mistake(self, write: Write) -> None:
        path = write('use "missing.arch"\n' + small("blocks = theirs"))
        assert codes(path)[0] == ("E209", 1)

    def test_a_circle(self, write: Write) -> None:
        write('use "b.arch"\n' + small(), "a.arch")
        path = write('use "a.arch"\nmixer m = gelu\n', "b.arch")
        assert [c for c, _ in codes(path)] == ["E208"]

    def test_changes_are_seen(self, write: Write) -> None:
        assert len(archdsl.load(write(small())).stages[0].blocks) == 1
        assert len(archdsl.load(write(small("blocks = 11 x scan"))).stages[0].blocks) == 11


class TestManyFaults:
    def test_faults_in_every_part(self, write: Write) -> None:
        text = (
            "arch a(dim = 64) {\n  stem = patch_embed(16, dim, strid = 2)\n  stage s1 { blocks = 2 x scna }\n"
            "  stage s2 { heads = 5; blocks = attn(head = 2) }\n  head = pool(men) -> linear(classes)\n}\n"
            "arch b = a(depth = 3)\narch c = a()\n"
        )
        assert codes(write(text)) == [("E202", 2), ("E201", 3), ("E202", 4), ("E213", 5), ("E211", 7)]

    def test_lines_of_a_block(self, write: Write) -> None:
        before = "block b {\n  residual linaer\n  residual conv2d(3, widht = 2)\n}\n"
        assert codes(write(before + small("blocks = 3 x b"))) == [("E201", 2), ("E202", 3)]

    def test_arguments_of_a_call(self, write: Write) -> None:
        found = archdsl.check(write(small("blocks = scan(ordr = both, stat = 8)")))
        assert [d.code for d in found] == ["E202", "E202"]

    def test_definitions_that_nobody_uses(self, write: Write) -> None:
        before = (
            "mixer m = linear -> linaer(3)\nmixer n = linear(3, of = 4)\n"
            "block b(y) { residual gelu(tanh, 3) }\n"
            "mixer ping = pong\nmixer pong = gelu -> ping\nblock c = scan -> gelu\n"
        )
        assert codes(write(before + small())) == [
            ("E201", 1), ("E202", 2), ("E204", 3), ("E208", 5), ("E216", 6),
        ]  # fmt: skip

    def test_one_mistake_in_every_stage_is_one(self, write: Write) -> None:
        before = "block bad { residual linear(100) }\n"
        text = small("blocks = 4 x bad").replace("  head", "  stage s2 { blocks = bad }\n  head")
        path = write(before + text)
        assert codes(path) == [("E307", 1)]

    def test_a_setting_that_nothing_could_take_beside_other_mistakes(self, write: Write) -> None:
        text = small("blocks = scna").replace("  stem", "  nrom = rms_norm\n  state = 4\n  stem")
        assert codes(write(text)) == [("E206", 2), ("E201", 5)]

    def test_a_mistake_in_the_library_is_told_at_the_call(self, write: Write) -> None:
        (found,) = archdsl.check(write(small("blocks = metaformer(3)")))
        assert found.code == "E205"
        assert found.span is not None
        assert (found.span.line, found.span.column) == (3, 34)


class TestStages:
    def test_windows_around_a_stage(self, write: Write) -> None:
        text = small("heads = 2; within = windows(7, extras = past); blocks = 2 x attn")
        stage = archdsl.load(write(text)).stages[0]
        assert stage.feature.grid == (14, 14)
        assert (stage.blocks[0].input.grid, stage.blocks[0].input.windows) == ((7, 7), 4)
        assert stage.within is not None
        assert stage.within.name == "windowed"
        assert archdsl.load(write(text), overrides={"s1.within": None}).stages[0].within is None

    def test_extras_in_a_hierarchy(self, write: Write) -> None:
        stage = "downsample = conv2d(3, 16, stride = 2)\n  stage s2 { blocks = scan(order = cross) }"
        text = small("blocks = gated_conv").replace("  head", f"  {stage}\n  head")
        text = text.replace("dim)\n", "dim) -> class_token -> registers(3)\n", 1)
        a = archdsl.load(write(text), image=(225, 64))
        assert (a.stages[1].feature.grid, a.stages[1].feature.tokens) == ((7, 2), 18)

    def test_equal_blocks_are_one_node(self, write: Write) -> None:
        blocks = archdsl.load(write(small("blocks = 3 x (scan + gated_conv)"))).stages[0].blocks
        assert blocks[0] is blocks[4]
        assert blocks[1] is blocks[3]

    def test_shared_weights_belong_to_one_routed(self, write: Write) -> None:
        before = "mixer m = routed(shared(conv1d(4, causal)) -> selective_scan(16), order = both)\n"
        stage = archdsl.load(write(before + small("blocks = 2 x metaformer(m -> m)"))).stages[0]
        keys = [n.share for n in stage.blocks[0].walk() if n.share]
        assert len(keys) == 4
        assert len(set(keys)) == 2
        one = total_params([next(n for n in stage.blocks[0].walk() if n.op.name == "shared")])
        assert one == 16 * 4 + 16
        assert total_params(stage.blocks) == 2 * total_params(stage.blocks[:1])

    def test_required_parameters(self, write: Write) -> None:
        text = small().replace("dim = 16", "dim")
        assert refused(write(text)) == ["E203"]
        assert codes(write(text)) == []
        assert archdsl.load(write(text), dim=8).stages[0].feature.dim == 8


class TestBounds:
    @pytest.mark.parametrize(
        "stage",
        [
            "blocks = 1000000000000 x scan",
            "blocks = 9999 x (9999 x scan)",
            "blocks = scan(state = 1e999)",
            f"blocks = {'metaformer(' * 90}gelu{')' * 90}",
            f"blocks = metaformer({'residual(' * 90}gelu{')' * 90})",
        ],
    )
    def test_large_values_are_refused_quickly(self, write: Write, stage: str) -> None:
        start = time.process_time()
        found = archdsl.check(write(small(stage)))
        assert {d.code for d in found} <= {"E205", "E216", "E218", "E310"}
        assert found
        assert time.process_time() - start < 3

    def test_lets_that_build_on_each_other(self, write: Write) -> None:
        lets = "let a0 = gelu\n" + "".join(f"let a{i} = a{i - 1} -> gelu\n" for i in range(1, 500))
        assert {c for c, _ in codes(write(lets + small("blocks = metaformer(a499)")))} == {"E218"}
        numbers = "let a0 = 1\n" + "".join(f"let a{i} = a{i - 1} + 1\n" for i in range(1, 500))
        assert len(archdsl.load(write(numbers + small("blocks = a20 x scan"))).stages[0].blocks) == 21

    @given(st.text(alphabet='ab1( )[]{}=->+x*/,."\n', max_size=60))
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_stage_text_gives_diagnostics_or_an_arch(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "a.arch"
        path.write_text(small(f"let a = 2; let b = scan; blocks = {text}"), encoding="utf-8")
        for d in archdsl.check(path):
            assert d.code[:2] in ("E1", "E2", "E3")

    @given(st.sampled_from(NAMES), st.sampled_from(CALLS), st.sampled_from(SLOTS))
    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_value_in_any_slot(self, tmp_path: Path, name: str, call: str, slot: str) -> None:
        path = tmp_path / "a.arch"
        path.write_text(small(f"{slot} = {name}{call}" + ("" if slot == "blocks" else "; blocks = scan")))
        for d in archdsl.check(path):
            assert d.code[:2] in ("E1", "E2", "E3")
            assert d.help


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, archdsl; print(sorted({'torch', 'pydantic', 'lark', 'networkx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_text_without_a_file(tmp_path: Path) -> None:
    unit = load_text(Source("<text>", 'use "mamba_r.arch"\nmixer m = gelu\n'), tmp_path)
    assert list(unit.definitions) == ["m"]
    assert "mamba_r_tiny" in set(unit.arch_names())


def test_a_mistake_in_a_used_file_names_the_architecture_that_led_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.arch"
    path.write_text('use "vmamba.arch"\narch fine = vmamba()\narch mine = vmamba(depths = [2, 2, 8])\n')
    (found,) = archdsl.check(path)
    assert (found.code, found.span and Path(found.span.source.name).name) == ("E215", "vmamba.arch")
    assert found.notes == ("in `mine`, mine.arch:3",)
    with pytest.raises(DiagnosticError) as error:
        archdsl.load(path)
    assert error.value.diagnostics[0].notes == found.notes
    with pytest.raises(DiagnosticError) as error:
        archdsl.load("vmamba", overrides={"s1.dim": "8 // 0"})
    assert not any("in `vmamba`" in note for d in error.value.diagnostics for note in d.notes)
