"""A search talks to nobody: every connection of its processes is looked at, Python's and others'."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = """\
search alone {
  arch = tiny(dim = 8)
  vary { dim in 8 .. 24 step 8 }
  task     = TASK
  maximize = accuracy
  sampler  = random(seed = 0)
  budget   = trials(2)
}
"""
RUN = """\
import sys
from pathlib import Path
from archdsl.nas.board import Resources
from archdsl.nas.executors import find
from archdsl.nas.read import read_search
from archdsl.nas.study import Study

executor, folder = sys.argv[1], Path(sys.argv[2])
plan = read_search(folder / "alone.search")
resources = Resources(workers=1, results=folder / "results")
with Study.open(plan, folder / "study", executor=executor) as study:
    find(executor).run(study, resources, folder / "study")
    print("finished", study.results().finished)
"""
WATCH = """\
import os
import sys


def look(event, arguments):
    if event == "socket.connect":
        seen = arguments[1]
    elif event == "socket.getaddrinfo":
        seen = arguments[0]
    elif event == "socket.sendto":
        seen = arguments[1]
    else:
        return
    with open(os.environ["SEEN_FOLDER"] + f"/{os.getpid()}", "a") as out:
        print(event, repr(seen), file=out)


open(os.environ["SEEN_FOLDER"] + f"/{os.getpid()}", "a").close()
sys.addaudithook(look)
"""
HOSTS = re.compile(r"\('([^']*)', \d+")
TRACED = re.compile(r'sa_family=AF_INET6?.*?inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')
SENT = re.compile(r"send\w+\(\d+<(?:UDP|TCP)[^>]*->\[?([0-9a-f.:]+?)\]?:\d+\]>")
"""What a socket is connected to, in a line of strace -yy."""
SENDS_NOTHING = re.compile(r"connect\(\d+<UDP")
"""So programs find out which of its addresses a machine would use."""


def _is_this_machine(address: str) -> bool:
    """Loopback, or an address of a network card: what is sent there does not leave the machine."""
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback or (mapped or ip).is_unspecified or str(mapped or ip) in _own()


def _own() -> set[str]:
    shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
    return set(shown.stdout.split())


def _run(executor: str, task: str, folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Runs the search with the watch in every Python process that it starts."""
    (folder / "alone.search").write_text(SEARCH.replace("TASK", task))
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH)
    (folder / "seen").mkdir()
    path = os.pathsep.join([str(folder / "watch"), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path, "SEEN_FOLDER": str(folder / "seen")}
    return subprocess.run(
        [*before, sys.executable, "-c", RUN, executor, str(folder)],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _elsewhere(folder: Path) -> list[str]:
    """What the watch has seen that is not on this machine."""
    lines = [line for file in (folder / "seen").iterdir() for line in file.read_text().splitlines()]
    found = []
    for line in lines:
        hosts = HOSTS.findall(line)
        if line.startswith("socket.getaddrinfo"):
            hosts = [line.partition(" ")[2].strip("'")]
        for host in hosts:
            try:
                inside = _is_this_machine(host)
            except ValueError:
                inside = host in {"localhost", "None", os.uname().nodename, ""}
            if not inside:
                found.append(line)
    return found


def test_the_watch_sees_connections(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "s = socket.socket()\n"
        "s.settimeout(0.1)\n"
        "for place in (('192.0.2.1', 9), ('127.0.0.1', 9)):\n"
        "    try: s.connect(place)\n"
        "    except OSError: pass"
    )
    (tmp_path / "seen").mkdir()
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    env = os.environ | {"PYTHONPATH": str(tmp_path), "SEEN_FOLDER": str(tmp_path / "seen")}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert _elsewhere(tmp_path) == ["socket.connect ('192.0.2.1', 9)"]


def test_a_local_search_connects_to_nobody(tmp_path: Path) -> None:
    done = _run("local", "instant", tmp_path)
    assert done.stdout.splitlines()[-1:] == ["finished True"], done.stderr
    assert len(list((tmp_path / "seen").iterdir())) >= 2, "driver and worker are watched"
    assert _elsewhere(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_no_process_of_a_search_connects_to_anywhere_else(executor: str, tmp_path: Path) -> None:
    """Also those that are not Python's, such as Ray's."""
    if executor == "ray":
        pytest.importorskip("ray")
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not there or may not trace")
    trace = tmp_path / "trace"
    options = ["-f", "-qq", "-yy", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace)]
    done = _run(executor, "digits(epochs = 1)", tmp_path, strace, *options)
    assert "finished True" in done.stdout, done.stderr
    assert _elsewhere(tmp_path) == []
    lines = trace.read_text(errors="replace").splitlines()
    talking = [line for line in lines if not SENDS_NOTHING.search(line)]
    addresses = {a for line in talking for a in TRACED.findall(line) + SENT.findall(line)}
    assert {a for a in addresses if not _is_this_machine(a)} == set()
    assert executor == "local" or addresses, "Ray's processes are watched"
