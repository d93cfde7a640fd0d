"""Range kernels give the same on any threads, and leave no process hanging."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archdsl.kernels import parallel
from archdsl.kernels.jit import kernel
from archdsl.kernels.parallel import spread

KERNEL = """
import os, signal, sys, threading, time
import numpy as np
import torch
from archdsl.kernels.jit import kernel
from archdsl.kernels.parallel import spread

@kernel
def sums(first, last, values, work):
    for i in range(first, last):
        s = 0.0
        for k in range(work):
            s += np.sqrt(s + k)
        values[i] += i + 0.0 * s

def check(times=100):
    values = np.zeros(50)
    for _ in range(times):
        spread(sums, 50, values, 10)
    assert (values == times * np.arange(50)).all()

class Scans(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, i):
        torch.set_num_threads(1 + i % 2)
        check()
        return i
"""
FORK_AFTER_TORCH = """
import os
import torch
torch.set_num_threads({before})
torch.randn(300, 300) @ torch.randn(300, 300)
child = os.fork()
if child:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
torch.set_num_threads({inside})
torch.randn(300, 300) @ torch.randn(300, 300)
"""
FORKS_AND_THREADS = """
torch.set_num_threads(2)
torch.randn(300, 300) @ torch.randn(300, 300)
check()
child = os.fork()
if child == 0:
    check()
    callers = [threading.Thread(target=check) for _ in range(3)]
    for caller in callers: caller.start()
    for caller in callers: caller.join()
    grandchild = os.fork()
    check()
    if grandchild: os.waitpid(grandchild, 0)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
callers = [threading.Thread(target=check) for _ in range(4)]
for caller in callers: caller.start()
check()
for caller in callers: caller.join()
for threads in (1, 3, 2, 5):
    torch.set_num_threads(threads)
    check()
    torch.randn(300, 300) @ torch.randn(300, 300)
print("right")
"""
LOADER = """
if __name__ == "__main__":
    torch.set_num_threads(2)
    check()
    for context in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(Scans(), num_workers=1, multiprocessing_context=context)
        assert [int(i) for i in loader] == [0, 1, 2, 3]
    check()
    print("right")
"""
EXIT = """
import atexit
torch.set_num_threads(2)
if FORKED and os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
check()
def for_ever():
    while True: check(1)
threading.Thread(target=for_ever, daemon=True).start()
atexit.register(lambda: (check(), print("right", flush=True)))
"""
PRELOADED = """
from archdsl.kernels.parallel import team_library
torch.set_num_threads(2)
check()
for line in open("/proc/self/maps"):
    first, last = (int(end, 16) for end in line.split()[0].split("-"))
    if first <= team_library() < last:
        print(line.split()[-1])
"""
INTERRUPT = """
torch.set_num_threads(2)
if FORKED:
    signal.set_wakeup_fd(-1)
    child = os.fork()
    if child:
        signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGINT))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the suite runs in the background
check()
values = np.zeros(50)
try:
    print("started", flush=True)
    while True:
        spread(sums, 50, values, 100_000)
except KeyboardInterrupt:
    check()
    print("right", flush=True)
"""


@contextmanager
def started(program: str, folder: Path, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process, killed with those it has started where it hangs."""
    path = folder / "program.py"
    path.write_text(before + KERNEL + program)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(FORKS_AND_THREADS, id="forks and threads"),
        pytest.param(LOADER, id="loader"),
        pytest.param("FORKED = False" + EXIT, id="exit"),
        pytest.param("FORKED = True" + EXIT, id="exit of a fork", marks=pytest.mark.slow),
    ],
)
def test_a_process_never_hangs(program: str, tmp_path: Path) -> None:
    with started(program, tmp_path) as process:
        out, _ = process.communicate(timeout=120)
        assert (out, process.returncode) == ("right\n", 0)


@pytest.mark.parametrize(
    ("before", "inside"),
    [(2, 1), (1, 2)],
    ids=["one thread, as torch needs it after threads", "the first threads of torch"],
)
def test_a_fork_that_torch_works_in_may_import_it(before: int, inside: int, tmp_path: Path) -> None:
    fork = FORK_AFTER_TORCH.format(before=before, inside=inside)
    with started("check()\nprint('right', flush=True)", tmp_path, fork) as process:
        out, _ = process.communicate(timeout=120)
        assert (out, process.returncode) == ("right\n", 0)


@pytest.mark.parametrize("forked", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_interrupt_leaves_it_usable(forked: bool, tmp_path: Path) -> None:
    with started(f"FORKED = {forked}" + INTERRUPT, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
        assert (out, process.returncode) == ("right\n", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a preloaded library and /proc")
def test_a_preloaded_openmp_is_the_one_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libraries = [*Path(torch.__file__).parent.glob("lib/libgomp*")]
    if not libraries:
        pytest.skip("torch comes without an OpenMP of its own")
    other = tmp_path / "libother.so"
    other.write_bytes(libraries[0].read_bytes().replace(b"libgomp.so.1\0", b"libother.so.\0"))
    monkeypatch.setenv("LD_PRELOAD", str(other))
    with started(PRELOADED, tmp_path) as process:
        out, _ = process.communicate(timeout=120)
        assert (out, process.returncode) == (f"{other}\n", 0)


@kernel
def powers(first: int, last: int, values: np.ndarray, exponent: float) -> None:  # type: ignore[type-arg]
    for i in range(first, last):
        values[i] += (i + 1) ** exponent


@kernel
def refusing(first: int, last: int, refused: int) -> None:
    for i in range(first, last):
        if i == refused:
            raise ValueError("refused")


@kernel
def without_arguments(first: int, last: int) -> None:
    pass


@pytest.fixture(params=["torch's threads", "Python threads"])
def threads_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parallel._pool, "forked", request.param == "Python threads")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_of")
def test_every_task_once_and_the_same_to_the_bit() -> None:
    @settings(max_examples=40, deadline=None)
    @given(tasks=st.integers(0, 70), threads=st.integers(1, 5))
    def check(tasks: int, threads: int) -> None:
        torch.set_num_threads(threads)
        values, wanted = np.zeros(70), np.zeros(70)
        spread(powers, tasks, values, 0.3)
        if tasks:
            powers(0, tasks, wanted, 0.3)
        assert values.tobytes() == wanted.tobytes()

    check()


@pytest.mark.usefixtures("threads_of")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_exception_comes_through(threads: int) -> None:
    torch.set_num_threads(threads)
    for refused in (0, 13, 29):
        with pytest.raises(ValueError, match="refused"):
            spread(refusing, 30, refused)
    spread(refusing, 30, -1)
    spread(without_arguments, 30)


def test_inside_a_compiled_function() -> None:
    @torch.library.custom_op("archdsl_tests::powers", mutates_args=())
    def operator(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        spread(powers, len(y), y.numpy(), 0.5)
        return y

    operator.register_fake(torch.empty_like)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            compiled = torch.compile(lambda x: operator(x) * 2, fullgraph=True, backend="aot_eager")
            wanted = 2 * (1 + torch.arange(1, 41, dtype=torch.float64).sqrt())
            torch.testing.assert_close(compiled(torch.ones(40, dtype=torch.float64)), wanted)
    finally:
        torch.set_num_threads(before)
