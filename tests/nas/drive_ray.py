"""A program that drives a study on Ray: `python drive_ray.py SEARCH FOLDER RESULTS [ADDRESS]`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from archdsl.nas.board import Resources
from archdsl.nas.executors.ray import RayExecutor
from archdsl.nas.read import read_search
from archdsl.nas.study import Study

if __name__ == "__main__":
    # A suite started in the background of a shell passes on that interrupts are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    search, folder, results = map(Path, sys.argv[1:4])
    address = sys.argv[4] if len(sys.argv) > 4 else None
    with Study.open(read_search(search), folder, resume=True, workers=2, executor="ray") as study:
        RayExecutor().run(study, Resources(2, address=address, results=results), folder)
