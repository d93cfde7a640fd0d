"""The page on tasks tells every argument with its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archdsl.tasks import Task, find
from archdsl.tasks._recipe import ImageClassification
from archdsl.tasks.reading import default_text

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE, re.MULTILINE))


def _of(name: str) -> type[Task]:
    found = find(name)
    assert found is not None
    return found


@pytest.mark.parametrize("task", [ImageClassification, _of("digits"), _of("imagefolder")])
def test_every_argument_is_told_with_its_default(task: type[Task]) -> None:
    for name in task.model_fields:
        assert ROWS[name].strip() == default_text(task, name)


def test_no_other_argument_is_told() -> None:
    assert set(ROWS) == set(_of("digits").model_fields) | set(_of("imagefolder").model_fields)
