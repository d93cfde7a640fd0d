"""Options that name an architecture, shared by the commands that load one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake, report
from archdsl.diagnostics import did_you_mean

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture
    from archdsl.graph.elaboration.files import Unit

Spec = Annotated[
    str,
    typer.Argument(metavar="SPEC", help="A spec file, or the name of a shipped architecture (mamba_r_tiny)."),
]
Arch = Annotated[
    str | None,
    typer.Option(
        "--arch", metavar="NAME", help="Which architecture of the file; the main one where left out."
    ),
]
Override = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=TEXT",
        help="Change a parameter or setting: registers=8, s3.heads=16, 's3.blocks=2 x attn'. Repeatable.",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="HxW",
        help="Height and width of the image in pixels, 384x256; one number for a square.",
    ),
]
Classes = Annotated[int | None, typer.Option("--classes", metavar="N", help="Length of the logits.")]

_SIZE = re.compile(r"([0-9]{1,6})(?:[xX×]([0-9]{1,6}))?")


def load_spec(
    spec: str,
    arch: str | None = None,
    overrides: Sequence[str] | None = None,
    image: str | None = None,
    classes: int | None = None,
    channels: int | None = None,
) -> Architecture:
    """The architecture that these options name, checked.

    Raises:
        DiagnosticError: for everything that is wrong with the options or the spec.
    """
    import archdsl

    if not spec.strip():
        raise mistake("E510", "SPEC is empty", help="name a spec file or a shipped architecture")
    given: dict[str, object] = {}
    if image is not None:
        given["image"] = image_size(image)
    if classes is not None:
        given["classes"] = classes
    if channels is not None:
        given["channels"] = channels
    loaded = archdsl.load(source_of(spec), arch, overrides=parse_overrides(overrides or ()), **given)
    report(loaded.warnings)
    return loaded


def unit_of(spec: str) -> tuple[Unit, str | None]:
    """The file that is meant, and its main arch: the one asked for by name, else the one named like the file.

    Raises:
        DiagnosticError: where there is no such file or shipped name.
    """
    from archdsl.graph.elaboration.files import load_file
    from archdsl.graph.library import file_of, index

    if not spec.strip():
        raise mistake("E510", "SPEC is empty", help="name a spec file or a shipped architecture")
    source = source_of(spec)
    path = source if isinstance(source, Path) else file_of(source)
    if path is None:
        raise mistake("E509", f"there is no architecture `{spec}`", help=did_you_mean(spec, index()))
    unit = load_file(path)
    named = path.stem if isinstance(source, Path) else source
    return unit, named if named in unit.arches else None


def source_of(spec: str) -> str | Path:
    """A path where the text looks like one or such a file is there, else a shipped architecture's name."""
    looks_like_path = "/" in spec or "\\" in spec or spec.endswith(".arch")
    return Path(spec) if looks_like_path or Path(spec).is_file() else spec


_EXAMPLE = "PATH=TEXT: --set registers=8, --set 's3.blocks=2 x attn'"


def parse_overrides(texts: Sequence[str], example: str = _EXAMPLE) -> dict[str, object]:
    """`PATH=TEXT` pairs.

    Args:
        texts: as they were given.
        example: of what to write, for the message.

    Raises:
        DiagnosticError: E510 where one is none.
    """
    found: dict[str, object] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip() or not value.strip():
            raise mistake(
                "E510",
                f"`--set {text}` is no setting",
                help=f"write {example}",
            )
        found[path.strip()] = value.strip()
    return found


def image_size(text: str) -> tuple[int, int]:
    """(height, width) from `384x256` or `224`.

    Raises:
        DiagnosticError: E510 where it is neither.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise mistake(
            "E510",
            f"`--image {text}` is no size",
            help="write height x width in pixels: --image 384x256, or --image 224 for a square",
        )
    height = int(match[1])
    return height, int(match[2]) if match[2] else height
