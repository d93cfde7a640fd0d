"""What several folders of tests share."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scans import backends

from archdsl import tasks
from archdsl.kernels.ladder import VARIABLE

PLUGINS = Path(__file__).parent / "data" / "plugins"


@pytest.fixture(params=backends())
def scan_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once with each kernel of the selective scan that this machine has for the CPU."""
    monkeypatch.setenv(VARIABLE, request.param)
    return str(request.param)


@pytest.fixture
def faulty_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Installs the tasks `slow` and `faulty` for this process and those it starts."""
    folder = PLUGINS / "faulty_tasks"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    """Tasks are looked up once; entry points too."""
    importlib.invalidate_caches()
    tasks.find.cache_clear()
    tasks._foreign.cache_clear()
