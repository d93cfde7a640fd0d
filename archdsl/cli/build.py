"""`archdsl build`: from a spec to a model that has run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.cli.specs import Arch, Classes, Image, Override, Spec, load_spec

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from archdsl.cli.forward import Watched
    from archdsl.compiler import Model
    from archdsl.diagnostics import DiagnosticError
    from archdsl.graph.architecture import Architecture

FAST = 5.0
"""A first pass under so many seconds is a warm-up, and a second one is timed."""


class Dtype(StrEnum):
    """Types of weights and activations."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def build(
    spec: Spec,
    arch: Arch = None,
    overrides: Override = None,
    image: Image = None,
    classes: Classes = None,
    photo: Annotated[
        Path | None,
        typer.Option("--input", metavar="PHOTO", help="Run on a photograph instead of random numbers."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Load a published checkpoint or one of our own."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the weights as safetensors, the spec inside."),
    ] = None,
    device: Annotated[
        str,
        typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1; auto: cuda where there is one."),
    ] = "auto",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Type of weights and activations.")] = Dtype.FLOAT32,
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Images in the batch.")] = 1,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of weights and random input.")
    ] = 0,
    backend: Annotated[
        str,
        typer.Option("--backend", metavar="NAME", help="Kernel of the scans; auto: the fastest that serves."),
    ] = "auto",
    fuse: Annotated[
        bool,
        typer.Option("--fuse/--no-fuse", help="Mixers as one operator, linear maps by the fastest kernel."),
    ] = True,
) -> None:
    """Parse, check and compile an architecture, run one forward pass and print a table of its stages."""
    loaded = load_spec(spec, arch, overrides, image, classes)
    if out is not None:
        _writable(out)
    if weights is not None and not weights.is_file():
        raise mistake("E501", f"there is no file {weights}", help="check the path given to --weights")
    picture = None
    if photo is not None:
        from archdsl.cli.photo import open_photo

        if loaded.channels != 3:
            raise mistake(
                "E510",
                f"--input gives 3 channels, {loaded.name} takes {loaded.channels}",
                help="set channels = 3, or leave --input out",
            )
        picture = open_photo(photo)
    with _working("loading PyTorch") as say:
        import torch

        from archdsl.cli.forward import watch

        where = _device(device)
        _fits_memory(loaded, where, batch)
        try:
            say(f"building {loaded.name}")
            model = _model(loaded, weights, where, backend, seed, fuse)
            model.to(getattr(torch, dtype.value)).eval()
            say("running one forward pass")
            if picture is None:
                draw = torch.Generator().manual_seed(seed)
                images = torch.randn(batch, loaded.channels, *loaded.image, generator=draw)
            else:
                from archdsl.cli.photo import to_tensor

                images = to_tensor(picture, loaded.image).expand(batch, -1, -1, -1)
            images = images.to(where, getattr(torch, dtype.value))
            seen = watch(model, images)
            if seen.seconds < FAST:
                seen = watch(model, images)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise _out_of_memory(batch, loaded) from error
        except RuntimeError as error:
            if "allocate memory" in str(error):
                raise _out_of_memory(batch, loaded) from error
            raise
        if out is not None:
            from archdsl.weights import save_weights

            say(f"writing {out}")
            save_weights(model, out)
    _print(_Result(loaded, seen, str(where), dtype.value, batch, photo, weights is not None))
    if out is not None:
        typer.echo(f"wrote {out} ({out.stat().st_size:,} bytes)")


@dataclass(frozen=True, slots=True)
class _Result:
    architecture: Architecture
    seen: Watched
    device: str
    dtype: str
    batch: int
    photo: Path | None
    trained: bool


def _model(
    loaded: Architecture, weights: Path | None, device: str, backend: str, seed: int, fuse: bool
) -> Model:
    import torch

    from archdsl.compiler import compile_model
    from archdsl.compiler.passes import PASSES, UNFUSED
    from archdsl.kernels.ladder import AUTO
    from archdsl.kernels.selective_scan import LADDER

    known = (AUTO, *LADDER.names)
    if backend not in known:
        raise mistake("E510", f"there is no backend {backend}", help=f"one of {', '.join(known)}")
    torch.manual_seed(seed)
    passes = PASSES if fuse else UNFUSED
    model = compile_model(loaded, backend=backend, device=device, passes=passes, quick=fuse)
    if weights is not None:
        from archdsl.weights import load_weights

        typer.echo(str(load_weights(model, weights)), err=True)
    return model


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if kind == "cpu":
        return name
    if kind != "cuda":
        raise mistake("E510", f"there is no device {name}", help="one of auto, cpu, cuda, cuda:1")
    index = torch.device(name).index or 0
    if index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise mistake(
            "E510",
            f"there is no device {name}",
            notes=(f"PyTorch sees {count} CUDA devices",),
            help="use --device cpu",
        )
    return name


def _fits_memory(loaded: Architecture, device: str, batch: int) -> None:
    """Refuses weights and images that the machine has no room for, before anything is allocated."""
    if device.startswith("cuda"):
        import torch

        have = torch.cuda.mem_get_info(device)[0]
    elif hasattr(os, "sysconf"):
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    else:
        return
    need = 4 * loaded.cost().params
    if need > have:
        raise mistake(
            "E310",
            f"the weights of {loaded.name} do not fit into memory",
            notes=(f"they take {need >> 30} GiB at float32, {device} has {have >> 30} GiB",),
            help="`archdsl cost` counts without building",
        )
    height, width = loaded.image
    if need + 4 * batch * loaded.channels * height * width > have:
        raise _out_of_memory(batch, loaded)


def _out_of_memory(batch: int, loaded: Architecture) -> DiagnosticError:
    height, width = loaded.image
    return mistake(
        "E310",
        "the model and its forward pass do not fit into memory",
        notes=(f"{batch} images of {height} x {width}",),
        help="make --batch or --image smaller",
    )


def _writable(path: Path) -> None:
    """Refuses a path that cannot be written, before work is done for it."""
    folder = path.parent
    reason = ""
    if path.is_dir():
        reason = "it is a folder"
    elif not folder.is_dir():
        reason = f"there is no folder {folder}"
    elif not os.access(folder, os.W_OK):
        reason = f"the folder {folder} may not be written to"
    if reason:
        raise mistake(
            "E508", f"cannot write {path}", notes=(reason,), help="name a file in a folder that exists"
        )


@contextmanager
def _working(what: str) -> Iterator[_Say]:
    """A spinner on stderr where that is a terminal; the value given changes its words."""
    from archdsl.cli.tables import console

    screen: Console = console(to_stderr=True)
    if not screen.is_terminal:
        yield _Say(None)
        return
    with screen.status(what) as status:
        yield _Say(status.update)


class _Say:
    def __init__(self, update: object) -> None:
        self._update = update

    def __call__(self, what: str) -> None:
        if callable(self._update):
            self._update(what)


def _print(r: _Result) -> None:
    from rich.markup import escape

    from archdsl.cli.tables import NARROW, Column, console, stage_table
    from archdsl.graph.views.summary import UNITS, size_text, stage_rows

    a, seen = r.architecture, r.seen
    total = a.cost()
    rows = stage_rows(a, total)
    times = [seen.head if row.name == "head" else seen.stages.get(row.name, 0.0) for row in rows]
    kernels = [", ".join(seen.kernels.get(row.name, [])) or "torch" for row in rows]
    out = console()
    height, width = a.image
    source = "random input" if r.photo is None else escape(str(r.photo))
    size = f"{height} x {width}, batch {r.batch}, {r.dtype} on {r.device}, {source}"
    out.print(f"[bold]{a.name}[/]  {total.params:,} parameters, {size}")
    extra = [
        Column("kernel", kernels, wide=True, justify="left"),
        Column("time", [_time(t) for t in times], _time(seen.seconds)),
    ]
    out.print(stage_table(rows, total, out.width, extra))
    if out.width < NARROW:
        named = [
            f"{row.name}: {kernel}" for row, kernel in zip(rows, kernels, strict=True) if kernel != "torch"
        ]
        out.print(f"kernels  {', '.join([*named, 'torch elsewhere'] if named else ['torch'])}")
    for refusal, parts in seen.passed_over.items():
        text = f"The kernel {refusal.name} does not serve {', '.join(parts)}: {refusal.reason}"
        out.print(escape(text), style="yellow", soft_wrap=True)
    activations = size_text(total.activation_bytes)
    out.print(f"{UNITS}. Activations of one image: {activations} at float32.", style="dim")
    _print_output(out, r)


def _print_output(out: Console, r: _Result) -> None:
    y: Tensor = r.seen.output.float()
    if not y.isfinite().all():
        out.print("[bold red]the output holds values that are not finite[/]")
    shape = " x ".join(map(str, y.shape))
    out.print(f"output {shape}  mean {y.mean().item():+.4f}  std {y.std(correction=0).item():.4f}")
    if not r.trained:
        out.print("The weights are random: the output means nothing yet.", style="dim")
    elif y.ndim == 2 and r.architecture.classes >= 5:
        best = y[0].softmax(-1).topk(5)
        for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            out.print(f"  {share:6.1%}  {_class_name(index, r.architecture.classes)}")


def _class_name(index: int, classes: int) -> str:
    """ImageNet's name of a class where there are a thousand."""
    if classes != 1000:
        return f"class {index}"
    from timm.data.imagenet_info import ImageNetInfo

    return f"class {index}: {ImageNetInfo().index_to_description(index)}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
