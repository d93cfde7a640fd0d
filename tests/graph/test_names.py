"""Which value a name has: scopes, what a call leaves out, bare names in calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.features import Feature
from archdsl.graph import Node, instantiate

Write = Callable[..., Path]
MAP = Feature(16, (8, 8))


def fields(node: Node) -> dict[str, object]:
    return node.op.model_dump()


def values(node: Node, call: int = 0) -> dict[str, tuple[str, str]]:
    """Every parameter of a call with its value and where it came from."""
    return {name: (text, origin.kind) for name, text, origin in node.calls[call].values}


def spec(stage: str, arch: str = "", before: str = "", head: str = "pool(mean) -> linear(classes)") -> str:
    return (
        f"{before}\narch a(dim = 16, depth = 2) {{\n  {arch}\n  stem = patch_embed(16, dim)\n"
        f"  stage s1 {{ {stage} }}\n  head = {head}\n}}\n"
    )


def block_of(path: Path, **params: object) -> Node:
    return archdsl.load(path, **params).stages[0].blocks[0]


class TestBareNamesInCalls:
    def test_a_parameter_of_the_callee_is_switched_on(self) -> None:
        assert fields(instantiate("conv2d(3, depthwise)", MAP))["depthwise"] is True

    def test_a_parameter_of_the_callee_takes_the_local_of_that_name(self, write: Write) -> None:
        path = write(
            spec("kernel = 5; blocks = b(kernel)", before="block b(kernel) { residual conv2d(kernel) }")
        )
        conv = block_of(path).parts[0].parts[0]
        assert fields(conv)["kernel"] == 5

    def test_by_name_beats_by_position(self) -> None:
        node = instantiate("conv2d(bias, 3)", MAP)
        assert (fields(node)["kernel"], fields(node)["bias"]) == (3, True)

    def test_a_choice_word_beats_a_name_in_scope(self, write: Write) -> None:
        text = spec(
            "blocks = scan", arch="let registers = 4; let mean = 3",
            head="take(patches) -> pool(mean) -> linear(classes)",
        )  # fmt: skip
        assert archdsl.load(write(text)).head is not None

    def test_a_name_in_scope_beats_a_definition(self, write: Write) -> None:
        path = write(spec("blocks = b(silu)", "let silu = relu", "block b(act) { residual act }"))
        assert block_of(path).parts[0].parts[0].op.name == "relu"

    def test_a_bare_definition_reaches_a_choice_by_its_name(self, write: Write) -> None:
        before = "block b(how) { residual split(gelu, silu, merge = how) -> linear(16) }"
        path = write(spec("blocks = b(concat)", before=before))
        assert fields(block_of(path).parts[0].parts[0])["merge"] == "concat"

    def test_the_callee_never_sees_parameters(self, write: Write) -> None:
        before = "block b(relu) { residual relu -> relu() }"
        inner = block_of(write(spec("blocks = b(silu)", before=before))).parts[0]
        assert [n.op.name for n in inner.parts] == ["silu", "relu"]

    def test_orders_are_words(self) -> None:
        node = instantiate("routed(silu, [rows, reverse(columns), local(4)], merge = add)", MAP)
        assert [o.label for o in node.op.order] == ["rows", "columns_reverse", "local4"]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("written", "label", "text"),
        [
            ("snake", "snake", "snake"),
            ("snake(rows)", "snake", "snake"),
            ("snake(columns)", "snake_columns", "snake(columns)"),
            ("local(2, rows)", "local2", "local(2)"),
            ("local(7, columns)", "local_columns7", "local(7, columns)"),
            ("reverse(local(7, columns))", "local_columns7_reverse", "reverse(local(7, columns))"),
            ("reverse(reverse(snake(columns)))", "snake_columns", "snake(columns)"),
        ],
    )
    def test_an_order_goes_by_rows_or_by_columns(self, written: str, label: str, text: str) -> None:
        (order,) = instantiate(f"routed(silu, {written})", MAP).op.order  # type: ignore[attr-defined]
        assert (order.label, order.text) == (label, text)


class TestWhatACallLeavesOut:
    def test_stage_then_arch_then_default(self, write: Write) -> None:
        stage = "state = 4; blocks = scan"
        got = values(block_of(write(spec(stage, "state = 8; conv = 3"))))
        assert got["state"] == ("4", "stage")
        assert got["conv"] == ("3", "arch")
        assert got["expand"] == ("2", "default")

    def test_an_arch_parameter_is_taken(self, write: Write) -> None:
        text = spec("blocks = scan").replace("depth = 2", "expand = 3")
        assert values(block_of(write(text)))["expand"] == ("3", "arch")

    def test_a_definition_takes_defaults_only(self, write: Write) -> None:
        before = "block b { residual mamba }"
        inner = block_of(write(spec("state = 4; blocks = scan(order = forward) + b", before=before)))
        assert values(inner)["state"] == ("4", "stage")
        alone = archdsl.load(write(spec("state = 4; blocks = scan + b", before=before))).stages[0].blocks[1]
        assert values(alone.parts[0].parts[0])["state"] == ("16", "default")

    def test_a_part_written_in_the_arch_takes_settings_where_it_is_built(self, write: Write) -> None:
        text = spec("heads = 8; blocks = metaformer(attention)", "heads = 2")
        assert fields(block_of(write(text)).parts[0].parts[1])["heads"] == 8

    def test_ambient_values_reach_every_depth(self, write: Write) -> None:
        block = block_of(write(spec("blocks = scan", "eps = 1e-3; drop_path = 0.5; layer_scale = 1e-6")))
        norm, _, scale, drop = block.parts[0].parts
        assert fields(norm)["eps"] == 1e-3
        assert values(norm)["eps"] == ("0.001", "ambient")
        assert fields(scale)["init"] == 1e-6
        assert fields(drop)["drop_path"] == 0.5

    def test_dim_is_the_stages_width(self, write: Write) -> None:
        before = "mixer down(dim) = conv2d(3, dim, stride = 2)\n"
        before += "block b(dim) { residual linear(2 * dim) -> linear(dim) }"
        text = spec("blocks = b", "downsample = down", before).replace(
            "  head", "  stage s2 { dim = 3 * dim; heads = dim // 24; blocks = b + attn }\n  head"
        )
        stage = archdsl.load(write(text)).stages[1]
        assert stage.feature.dim == 48
        assert fields(stage.blocks[0].parts[0].parts[0])["out"] == 96
        assert values(stage.blocks[1])["heads"] == ("2", "stage")

    def test_slot_defaults_are_names_but_no_settings(self, write: Write) -> None:
        text = spec(
            "blocks = metaformer(gated(conv1d(3)))", head="norm -> act -> pool(mean) -> linear(classes)"
        )
        architecture = archdsl.load(write(text))
        assert architecture.head is not None
        assert [n.op.name for n in architecture.head.parts[:2]] == ["layer_norm", "gelu"]
        gated = architecture.stages[0].blocks[0].parts[0].parts[1]
        assert values(gated)["act"] == ("silu", "default")

    def test_the_setting_norm_reaches_heads_and_concat(self, write: Write) -> None:
        text = spec(
            "blocks = scan",
            "norm = batch_norm",
            head="norm -> registers(2) -> take(registers) -> concat(2) -> linear(classes)",
        )
        head = archdsl.load(write(text)).head
        assert head is not None
        assert head.parts[0].op.name == "batch_norm"
        assert head.parts[3].parts[0].op.name == "batch_norm"


class TestScopes:
    def test_a_line_sees_the_lines_above(self, write: Write) -> None:
        assert len(archdsl.load(write(spec("let n = depth + 1; blocks = n x scan"))).stages[0].blocks) == 3

    def test_a_line_does_not_see_the_lines_below(self, write: Write) -> None:
        (found,) = archdsl.check(write(spec("blocks = n x scan; let n = 2")))
        assert (found.code, "below" in found.label) == ("E201", True)

    def test_a_slot_set_below_is_no_default_above(self, write: Write) -> None:
        text = spec("blocks = scan", head="norm -> pool(mean) -> linear(classes)\n  norm = rms_norm")
        (found,) = archdsl.check(write(text))
        assert (found.code, "below" in found.label) == ("E201", True)

    def test_definitions_resolve_in_their_own_file(self, write: Write) -> None:
        write("mixer inner = gelu\nblock theirs { residual inner }\n", "parts/b.arch")
        path = write('use "parts/b.arch"\n' + spec("blocks = theirs", before="mixer inner = silu"))
        assert block_of(path).parts[0].parts[0].op.name == "gelu"

    def test_the_own_file_wins_over_used_files_and_the_prelude(self, write: Write) -> None:
        write("block scan { residual gelu }\nblock attn { residual gelu }\n", "b.arch")
        path = write('use "b.arch"\n' + spec("blocks = scan + attn", before="block scan { residual silu }"))
        blocks = archdsl.load(path).stages[0].blocks
        assert [b.parts[0].parts[0].op.name for b in blocks] == ["silu", "gelu"]

    def test_a_file_level_value(self, write: Write) -> None:
        path = write(spec("blocks = twice", before="let two = 2\nlet twice = two x metaformer(silu)"))
        assert len(archdsl.load(path).stages[0].blocks) == 2

    def test_lets_in_a_block(self, write: Write) -> None:
        lines = ["let wide = n * 16", 'require n < 4, "n is small"', "residual linear(wide) -> linear(16)"]
        before = "block b(n = 2) {\n  " + "\n  ".join(lines) + "\n}"
        assert fields(block_of(write(spec("blocks = b", before=before))).parts[0].parts[0])["out"] == 32
        (found,) = archdsl.check(write(spec("blocks = b(4)", before=before)))
        assert (found.code, found.message) == ("E212", "n is small")


class TestValues:
    @pytest.mark.parametrize(
        ("text", "out"),
        [
            ("8 / 3 * 3", 8), ("7 // 2", 3), ("-7 // 2 + 5", 1), ("7 % 4", 3), ("ceil(5 / 2)", 3),
            ("round(2.5)", 3), ("max(1, 4, 2)", 4), ("min([5, 3])", 3), ("sum([1, 2])", 3), ("abs(-2)", 2),
            ("len([1, 2, 3][1 .. 3])", 2), ("[4, 5][-1]", 5), ("4K / 1000", 4),
        ],
    )  # fmt: skip
    def test_arithmetic_is_exact(self, text: str, out: int) -> None:
        assert instantiate(f"linear({text})", MAP).output.dim == out

    def test_widths_are_floored(self) -> None:
        assert instantiate("linear(8 / 3 * 256)", MAP).output.dim == 682

    def test_optional_parts(self) -> None:
        assert instantiate("none -> gelu -> 0 x silu", MAP).op.name == "gelu"
        assert [n.op.name for n in instantiate("2 x (gelu -> silu)", MAP).parts] == ["gelu", "silu"] * 2

    def test_names_of_nodes(self) -> None:
        node = instantiate("linear -> 2 x gelu -> linear", MAP)
        assert node.names() == ("linear", "gelu", "gelu_2", "linear_2")
        (residual,) = instantiate("scan", MAP).parts
        assert residual.names() == ("norm", "mamba")

    def test_calls_lead_from_the_outside_in(self) -> None:
        node = instantiate("scan", MAP).parts[0].parts[1]
        assert [c.callee for c in node.calls] == ["mamba", "gated"]
        assert values(node, 1)["expand"] == ("2", "given")


def test_a_residual_is_a_block_wherever_blocks_stand(write: Write) -> None:
    lines = spec("blocks = 2 x b", before="block b { residual linear -> gelu -> linear }")
    value = spec("blocks = 2 x b", before="block b = residual(linear -> gelu -> linear)")
    bare = spec("blocks = 2 x residual(linear -> gelu -> linear)")
    digests = {archdsl.load(write(text)).digest() for text in (lines, value, bare)}
    assert len(digests) == 1


class TestWhatIsRemembered:
    @pytest.mark.parametrize(
        ("inside", "first", "second"),
        [
            ("windowed(linear, v)", "[1, 1]", "[on, on]"),
            ("routed(linear, v)", "local(1)", "local(on)"),
            ("linear(16, v)", "on", "1"),
        ],
    )
    def test_on_is_not_1(self, write: Write, inside: str, first: str, second: str) -> None:
        before = f"block b(v) {{ residual {inside} }}"
        archdsl.load(write(spec(f"blocks = b({first})", before=before)))
        with pytest.raises(DiagnosticError):
            archdsl.load(write(spec(f"blocks = b({first}) + b({second})", before=before)))
