"""Random networks as trees, written down in random ways that mean the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

LEAVES: dict[str, tuple[str, ...]] = {
    "linear": ("linear", "linear(same)", "linear(bias = on, out = same)"),
    "linear without bias": ("linear(bias = off)", "linear(same, off)"),
    "gelu": ("gelu", "gelu(approximate = none)", "gelu()"),
    "gelu tanh": ("gelu(tanh)", "gelu(approximate = tanh)"),
    "silu": ("silu", "silu()"),
    "layer norm": ("layer_norm", "layer_norm(0.00001)", "layer_norm(eps = 1e-5, affine)"),
    "layer norm 1e-6": ("layer_norm(1e-6)", "layer_norm(0.000001)"),
    "rms norm": ("rms_norm", "rms_norm(1 / 100000)"),
    "conv1d 3": ("conv1d(3)", "conv1d(3, causal = off)", "conv1d(1 + 2)"),
    "conv1d 3 causal": ("conv1d(3, causal)", "conv1d(kernel = 3, causal = on, bias = on)"),
    "conv1d 1": ("conv1d(1)", "conv1d(1, causal)"),
    "attention": ("attention(1)", "attention(1, eps = 1e-3)", "attention(heads = 1, position = none)"),
    "attention qk_norm": ("attention(1, qk_norm)", "attention(1, qk_norm = on, eps = 1e-5)"),
    "scan": ("selective_scan(2)", "selective_scan(2, dt_bias = once)", "selective_scan(2, dt_rank = 1)"),
    "scan 3": ("selective_scan(3)",),
    "linear attention": ("linear_attention(1)", "linear_attention(1, gate_rank = 7, kernel = elu)"),
    "mlp": ("mlp(2)", "mlp(2.0, gelu)", "mlp"),
    "mlp silu": ("mlp(2, silu)", "mlp(2, act = silu)"),
    "scale": ("layer_scale(0.1)", "layer_scale(1e-3)"),
}
LEAVES["mlp"] = LEAVES["mlp"][:2]
ON_MAPS: dict[str, tuple[str, ...]] = {
    "conv2d": ("conv2d(3, depthwise)", "conv2d(3, same, 1, on)"),
    "conv2d 5": ("conv2d(5, depthwise, bias = off)",),
    "whole conv2d": ("conv2d(3)", "conv2d(3, stride = 1, depthwise = off)"),
    "relative": ("attention(1, position = relative)",),
}
NOTHING = ("none", "pad(1)", "fold(1)", "layer_scale(off)")
MERGES = ("add", "multiply", "mean")
ORDERS = {
    "backward": ("backward", "reverse(rows)", "[reverse(rows)]"),
    "both": ("both", "[forward, backward]", "[rows, reverse(rows)]"),
    "both the other way": ("[backward, forward]",),
}
MAP_ORDERS = {
    "columns": ("columns", "reverse(reverse(columns))"),
    "snake": ("snake", "snake(rows)"),
    "cross": ("cross", "[rows, columns, reverse(rows), reverse(columns)]"),
}


@dataclass(frozen=True, slots=True)
class Tree:
    """A network.

    Args:
        kind: `seq`, a combinator, or `leaf`.
        parts: inside.
        given: the leaf's key, or what the combinator is given.
    """

    kind: str
    parts: tuple[Tree, ...] = ()
    given: tuple[str | int, ...] = ()

    @property
    def flat(self) -> tuple[object, ...]:
        """What tells it from others: equal for trees that mean the same."""
        if self.kind == "seq":
            return tuple(item for part in self.parts for item in part.flat)
        return ((self.kind, self.given, tuple(part.flat for part in self.parts)),)


def leaf(rng: Random, on_map: bool) -> Tree:
    return Tree("leaf", (), (rng.choice([*LEAVES, *ON_MAPS] if on_map else [*LEAVES]),))


def draw(rng: Random, depth: int = 3, width: int = 8, side: int = 4) -> Tree:
    """A network that keeps its input's shape.

    Args:
        depth: levels of combinators.
        width: channels.
        side: of the map; 0 where tokens have no places.
    """
    if depth == 0 or rng.random() < 0.25:
        return leaf(rng, side > 0)
    count = rng.choice((2, 2, 3))
    kinds = ["seq", "seq", "seq", "residual", "branches", "routed", "partial"]
    kinds += ["split"] * (width % 2 == 0) + ["windowed"] * (side == 4)
    match rng.choice(kinds):
        case "split":
            parts = tuple(draw(rng, depth - 1, width // 2, side) for _ in range(2))
            return Tree("split", parts, ("concat",))
        case "branches":
            parts = tuple(draw(rng, depth - 1, width, side) for _ in range(count))
            return Tree("branches", parts, (rng.choice(MERGES),))
        case "routed":
            order = rng.choice([*ORDERS, *MAP_ORDERS] if side else [*ORDERS])
            merge = "" if order in ("backward", "columns", "snake") else rng.choice(("add", "mean"))
            return Tree("routed", (draw(rng, depth - 1, width, 0),), (order, merge))
        case "partial":
            channels = rng.choice([n for n in (2, 4, 6) if n < width] or [1])
            if channels >= width:
                return leaf(rng, side > 0)
            return Tree("partial", (draw(rng, depth - 1, channels, side),), (channels,))
        case "windowed":
            return Tree("windowed", (draw(rng, depth - 1, width, 2),), (2, rng.choice((0, 1))))
        case "residual":
            return Tree("residual", (draw(rng, depth - 1, width, side),))
    return Tree("seq", tuple(draw(rng, depth - 1, width, side) for _ in range(count)))


@dataclass(slots=True)
class Writer:
    """Writes trees, each time in another way.

    Args:
        rng: decides.
        trains_alike: leave out rewrites that change what is trained, or how weights start.
        definitions: of what was given a name.
    """

    rng: Random
    trains_alike: bool = False
    definitions: list[str] = field(default_factory=list)

    def write(self, tree: Tree, width: int = 8, side: int = 4, routed: bool = False) -> str:
        """The tree as a pipeline, see `draw`."""
        text = self._plain(tree, width, side, routed)
        while self.rng.random() < 0.25:
            text = self._wrapped(text, width, side, routed)
        return text

    def _plain(self, tree: Tree, width: int, side: int, routed: bool) -> str:
        rng = self.rng
        match tree.kind:
            case "leaf":
                key = str(tree.given[0])
                texts = (LEAVES | ON_MAPS)[key]
                return texts[0] if key == "scale" and self.trains_alike else rng.choice(texts)
            case "seq":
                return self._joined([self.write(p, width, side, routed) for p in tree.parts])
            case "split":
                inside = [self.write(p, width // 2, side, routed) for p in tree.parts]
                return f"split({', '.join(inside)}, merge = {tree.given[0]})"
            case "branches":
                inside = [self.write(p, width, side, routed) for p in tree.parts]
                return f"branches({', '.join(inside)}, merge = {tree.given[0]})"
            case "routed":
                order, merge = tree.given
                text = rng.choice((ORDERS | MAP_ORDERS)[str(order)])
                chosen = merge or rng.choice(("add", "mean"))
                return f"routed({self.write(tree.parts[0], width, 0, True)}, {text}, {chosen})"
            case "partial":
                channels = int(tree.given[0])
                inner = self.write(tree.parts[0], channels, side, routed)
                number = rng.choice((f"{channels}", f"{channels}.5", f"{2 * channels} // 2"))
                return f"partial({inner}, {number})"
            case "windowed":
                window, shift = tree.given
                more = rng.choice(("", ", pad = on", ", extras = copy"))
                sides = rng.choice((f"{window}", f"[{window}, {window}]"))
                inner = self.write(tree.parts[0], width, 2, routed)
                return f"windowed({inner}, {sides}, shift = {shift}{more})"
        return f"residual({self.write(tree.parts[0], width, side, routed)})"

    def _joined(self, texts: list[str]) -> str:
        """Elements of a pipeline with some of them in parentheses or under a name."""
        rng = self.rng
        items = list(texts)
        if rng.random() < 0.3:
            items.insert(rng.randrange(len(items) + 1), rng.choice(NOTHING))
        if len(items) > 2 and rng.random() < 0.5:
            at = rng.randrange(len(items) - 1)
            items[at : at + 2] = [self._together(" -> ".join(items[at : at + 2]))]
        return self._together(" -> ".join(items))

    def _together(self, text: str) -> str:
        rng = self.rng
        match rng.randrange(3):
            case 0:
                name = f"m{rng.randrange(10**9)}"
                self.definitions.append(f"mixer {name}{rng.choice(('', '(unused = 3)'))} = {text}")
                return name
            case 1:
                return f"1 x ({text})"
        return f"({text})"

    def _wrapped(self, text: str, width: int, side: int, routed: bool) -> str:
        """Something around it that does nothing."""
        ways = [f"partial({text}, {width})", f"partial({text}, channels = {width}.25)"]
        if side:
            ways += [f"windowed({text}, {side})", f"windowed({text}, [{side}, {side}], shift = 1, pad = on)"]
        if not routed:
            ways.append(f"shared({text})")
        if not self.trains_alike:
            merge = self.rng.choice(MERGES)
            ways += [f"branches({text}, merge = {merge})", f"split({text}, merge = {merge})"]
            ways += [f"routed({text}, order = forward)", f"({text} -> drop_path(0.1))"]
            ways += [f"(take(patches) -> {text})", f"({text} -> partial(none, 1))"]
            if side:
                ways.append(f"({text} -> pad({side}))")
        return self.rng.choice(ways)

    def blocks(self, trees: list[Tree]) -> str:
        """Blocks of a stage, each the tree added to what it receives; equal neighbours may be repeats."""
        terms: list[str] = []
        known: dict[object, str] = {}
        for tree in trees:
            if tree.flat not in known or self.rng.random() < 0.5:
                name = f"b{self.rng.randrange(10**9)}"
                text = self.write(tree)
                body = self.rng.choice(
                    (f"{{ residual {text} }}", f"= residual({text})", f"{{ none\n  residual {text} }}")
                )
                self.definitions.append(f"block {name} {body}")
                known[tree.flat] = name
            terms.append(known[tree.flat])
        for at in range(len(terms) - 1, 0, -1):
            if terms[at] == terms[at - 1] and self.rng.random() < 0.7:
                terms[at - 1 : at + 1] = [f"2 x {terms[at]}"]
                break
        return " + ".join(terms)

    def spec(self, trees: list[Tree], *lines: str) -> str:
        """An arch with these blocks."""
        blocks = self.blocks(trees)
        name = f"a{self.rng.randrange(10**9)}"
        own = "\n  ".join(lines)
        return "\n".join(
            [*self.definitions, f"arch {name}(dim = 8) {{", "  image = 16", "  classes = 3", f"  {own}",
             "  stem = patch_embed(4, dim)", f"  stage {name} {{ blocks = {blocks} }}",
             "  head = pool(mean) -> linear(classes)", "}", ""]
        )  # fmt: skip
