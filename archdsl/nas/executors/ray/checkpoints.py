"""Checkpoints of jobs as folders of files: whole ones are told from torn ones by a list of what they hold.

In the results, a trial's folder is named by its job; its checkpoints are folders in it. Those of an earlier
run are put aside as `before`, because Ray Tune counts from 0 again. A checkpoint says which job it is of, by
what its values follow from, so that another study of the same name is not gone on with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from archdsl.nas.jobs import Job

CONTENTS = "contents.json"
BEFORE = "before"
_REPORT = re.compile(r"(?:report|test)-(\d+)\.json")
_CHECKPOINT = re.compile(r"checkpoint_\d+|" + BEFORE)


def collect(job: Job, work: Path, target: Path) -> None:
    """Makes a checkpoint in an empty folder of what a job has written into its own."""
    sizes = {}
    for file in sorted(work.iterdir()):
        if file.is_file() and file.name != CONTENTS and not file.name.startswith("."):
            _put(file, target / file.name, copy=True)
            sizes[file.name] = (target / file.name).stat().st_size
    (target / CONTENTS).write_text(json.dumps({"of": _identity(job), "sizes": sizes}), encoding="utf-8")


def unpack(job: Job, checkpoint: Path, work: Path) -> None:
    """Gives a job the files of a checkpoint, if that is whole and its own."""
    for name in _contents(checkpoint, job) or ():
        shutil.copyfile(checkpoint / name, work / name)


def hand_over(job: Job, checkpoint: Path) -> None:
    """Brings the files of a checkpoint into the job's folder of the study.

    Where another file system makes that a copy, the large files that only serve to go on are left out.
    """
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _contents(checkpoint, job) or ():
        _put(checkpoint / name, folder / name, copy=not name.endswith(".ckpt"))


def start_from(job: Job, experiment: Path) -> Path | None:
    """The checkpoint that a job goes on from, put where its next trial writes none; None to begin.

    It is the furthest of what the job left in the results, of what the trial left there that it shares its
    folder with, and of what lies in that folder.
    """
    folder = Path(job.folder)
    own = _whole(job, experiment, job.id)
    best = max(own or _whole(job, experiment, folder.name), key=_rank, default=None)
    before = experiment / job.id / BEFORE
    if folder.is_dir() and _epoch(folder) > (_epoch(best) if best else 0):
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir(parents=True)
        collect(job, folder, before)
        best = before
    elif best in own and best != before:
        shutil.rmtree(before, ignore_errors=True)
        before.parent.mkdir(parents=True, exist_ok=True)
        best.rename(before)
        best = before
    for old in _checkpoints(experiment, job.id):
        if old != best:
            shutil.rmtree(old, ignore_errors=True)
    return best


def forget_before(trial: Path) -> None:
    """Removes what was put aside, once there is something newer."""
    shutil.rmtree(trial / BEFORE, ignore_errors=True)


def _checkpoints(experiment: Path, name: str) -> list[Path]:
    """Checkpoints of a job's trials, torn ones too: Ray Tune adds four letters where a name is taken."""
    trial = re.compile(re.escape(name) + r"(_[0-9a-f]{4})?")
    trials = [f for f in _subfolders(experiment) if trial.fullmatch(f.name)]
    return [c for t in trials for c in _subfolders(t) if _CHECKPOINT.fullmatch(c.name)]


def _whole(job: Job, experiment: Path, name: str) -> list[Path]:
    return [c for c in _checkpoints(experiment, name) if _contents(c, job) is not None]


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(f for f in folder.iterdir() if f.is_dir())
    except OSError:
        return []


def _contents(checkpoint: Path, job: Job) -> list[str] | None:
    """Names of its files; None where it is torn or of another job."""
    try:
        content = json.loads((checkpoint / CONTENTS).read_text(encoding="utf-8"))
        sizes = content["sizes"]
        whole = all(_plain(name) and _size(checkpoint / name) == size for name, size in sizes.items())
        if whole and content["of"] == _identity(job):
            return list(sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _plain(name: str) -> bool:
    """Whether a name leads nowhere but into the folder it is taken in."""
    return Path(name).name == name and name != ".."


def _size(file: Path) -> int:
    """Of a file that lies there itself; links could lead anywhere.

    Raises:
        OSError: where there is none.
    """
    found = file.lstat()
    return found.st_size if S_ISREG(found.st_mode) else -1


def _identity(job: Job) -> str:
    return hashlib.sha256(json.dumps([job.arch, job.task, job.seeds]).encode()).hexdigest()


def _rank(checkpoint: Path) -> tuple[int, int]:
    return _epoch(checkpoint), checkpoint.stat().st_mtime_ns


def _epoch(folder: Path) -> int:
    """Of the last report in it."""
    found = [_REPORT.fullmatch(f.name) for f in folder.iterdir()]
    return max((int(m[1]) for m in found if m), default=0)


def _put(source: Path, target: Path, *, copy: bool) -> None:
    """Makes a file appear whole, as a link where that can be."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
    os.close(handle)
    try:
        try:
            os.unlink(name)
            os.link(source, name)
        except OSError:
            if not copy:
                return
            shutil.copyfile(source, name)
        os.replace(name, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
