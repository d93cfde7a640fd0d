"""Which kernel serves: none that is wrong, each proved once, whatever the caller has switched on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from planted import WRONG, Planted, planted, raises, right, with_gradient, with_y
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.kernels import selective_scan
from archdsl.kernels.ladder import KernelError, KernelWarning, Refusal, backends
from archdsl.kernels.selective_scan import LADDER, Inputs, Kernel

CALL = LADDER.typical("cpu", torch.float32, "bld")
NAMES = Inputs._fields[:8]
FOUND_BELOW = LADDER.choose(CALL).name


@pytest.fixture
def put() -> Iterator[Callable[..., None]]:
    """Puts candidates first in the ladder until the test ends."""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelWarning)
        yield lambda *candidates: stack.enter_context(LADDER.with_candidates(*candidates))


def arguments(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A scan of 2 images, 9 steps, 4 channels, 3 states."""
    draw = torch.Generator().manual_seed(1)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw, dtype=torch.float32).to(dtype)

    return {
        "u": normal(2, 9, 4),
        "delta": normal(2, 9, 4),
        "A": -normal(4, 3).float().abs(),
        "B": normal(2, 9, 3),
        "C": normal(2, 9, 3),
    }


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_kernel_is_refused_and_the_next_serves(put: Callable[..., None], what: str) -> None:
    wrong, reason = WRONG[what]
    put(wrong)
    choice = LADDER.explain(CALL)
    assert choice.name == FOUND_BELOW
    assert choice.passed_over[0].name == "planted"
    with pytest.raises(KernelError, match=f"can't serve this selective scan: .*{reason}"):
        LADDER.choose(CALL, "planted")
    expected = selective_scan(**arguments(), delta_softplus=True, backend="reference")
    y = selective_scan(**arguments(), delta_softplus=True)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=reason):
        selective_scan(**arguments(), backend="planted")


@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_gradient_is_enough(put: Callable[..., None], name: str) -> None:
    put(planted(with_gradient(name, lambda g: g * 1.001)))
    (refusal,) = LADDER.explain(CALL).passed_over
    assert refusal.name == "planted"
    pattern = f"it failed its test on cpu in float32: the gradient of {name} is off by 0.00"
    assert refusal.reason.startswith(pattern)
    assert refusal.reason.endswith("0.0001 is allowed")


def test_one_wrong_element_of_a_gradient_is_enough(put: Callable[..., None]) -> None:
    def change(g: Tensor) -> Tensor:
        g[-1, -1, -1, -1] += 0.01
        return g

    put(planted(with_gradient("C", change)))
    assert LADDER.choose(CALL).name == FOUND_BELOW


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_a_kernel_is_proved_for_each_type_and_layout(
    put: Callable[..., None], dtype: torch.dtype, layout: str
) -> None:
    def change(x: Inputs, y: Tensor) -> Tensor:
        return y * (1.5 if x.u.dtype == dtype and x.layout == layout else 1)

    put(planted(with_y(change)))
    for other in (torch.float32, torch.bfloat16, torch.float16):
        for order in ("bld", "bdl"):
            call = LADDER.typical("cpu", other, order)
            served = LADDER.choose(call).name == "planted"
            assert served is not (other == dtype and order == layout)


def test_a_right_kernel_serves(put: Callable[..., None]) -> None:
    put(planted())
    assert LADDER.explain(CALL) == (LADDER.candidates[0], ())
    assert LADDER.choose(CALL, "reference").name == "reference"
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        for layout in ("bld", "bdl"):
            proof = LADDER.proof(LADDER.candidates[0], LADDER.typical("cpu", dtype, layout))
            assert proof.reason is None
            assert proof.worst is not None
            assert proof.worst.share <= 0.3, "the test of a right kernel is not near its limit"


def test_the_order_and_the_place_of_candidates() -> None:
    before = LADDER.names
    first, second, other = planted(name="first"), planted(name="second"), planted(name="reference")
    with LADDER.with_candidates(first, second):
        assert LADDER.names == ("first", "second", *before)
        assert {"first", "second"} < {*backends()}
        assert LADDER.choose(CALL).name == "first"
        with LADDER.with_candidates(planted(name="first", available=lambda: "not today"), other):
            assert LADDER.names == ("first", "second", *before)
            assert LADDER.candidates[-1] is other
            assert LADDER.explain(CALL).passed_over == (Refusal("first", "not today"),)
            assert LADDER.choose(CALL).name == "second"
        assert LADDER.choose(CALL) is first
    assert LADDER.names == before
    assert "first" not in backends()


def test_devices_bind_auto_and_not_a_name(put: Callable[..., None]) -> None:
    put(planted(devices=("cuda",)))
    assert LADDER.explain(CALL).name == FOUND_BELOW
    assert "planted" not in [r.name for r in LADDER.explain(CALL).passed_over]
    assert LADDER.choose(CALL, "planted").name == "planted"


def test_a_call_that_a_kernel_does_not_fit(put: Callable[..., None]) -> None:
    put(planted(supports=lambda call: "more than 8 states" if call.state > 8 else None))
    assert LADDER.choose(CALL._replace(state=8)).name == "planted"
    assert LADDER.explain(CALL).passed_over == (Refusal("planted", "more than 8 states"),)
    put(planted(supports=lambda call: None if call.length == 197 else "197 steps or none"))
    assert "no test fits it" in LADDER.explain(CALL).passed_over[0].reason


def test_the_environment_names_a_kernel(put: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    put(planted(), planted(WRONG["forward"][0].load(), name="wrong"))
    for value, name in [("reference", "reference"), ("", "planted"), ("auto", "planted")]:
        monkeypatch.setenv("ARCHDSL_BACKEND", value)
        assert LADDER.choose(CALL).name == name
    monkeypatch.setenv("ARCHDSL_BACKEND", "reference")
    assert LADDER.choose(CALL, "planted").name == "planted"
    for value, reason in [("abacus", "no kernel `abacus`"), ("wrong", "y is off by")]:
        monkeypatch.setenv("ARCHDSL_BACKEND", value)
        with pytest.raises(KernelError, match=f"^ARCHDSL_BACKEND: .*{reason}"):
            selective_scan(**arguments())
    monkeypatch.setenv("ARCHDSL_BACKEND", "abacus")
    with pytest.raises(ValueError, match="ARCHDSL_BACKEND: there is no backend 'abacus'"):
        archdsl.build("mamba_r_tiny", depth=1, image=32, device="meta")


def test_where_nothing_serves_every_reason_is_told(put: Callable[..., None]) -> None:
    put(*(planted(name=name, available=lambda: "gone") for name in LADDER.names))
    with pytest.raises(KernelError, match=r"no kernel serves this selective scan \(.*reference: gone\)"):
        LADDER.choose(CALL)


class Seen:
    """A right kernel that counts how often it is loaded for a test, and notes what its test runs under."""

    def __init__(self) -> None:
        self.tests = 0
        self.under: list[tuple[bool, bool, torch.device]] = []

    def load(self) -> Kernel:
        """Counts."""
        if threading.current_thread().name == "archdsl self-test":
            self.tests += 1
            state = torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), torch.empty(0).device
            self.under.append(state)
        return right()

    def candidate(self) -> Planted:
        """As a candidate."""
        return planted(load=self.load)


def test_a_kernel_is_proved_once_also_by_many_threads(put: Callable[..., None]) -> None:
    seen = Seen()
    put(seen.candidate())
    calls = [CALL._replace(batch=b) for b in range(1, 40)]
    with ThreadPoolExecutor(8) as pool:
        names = {candidate.name for candidate in pool.map(LADDER.choose, calls)}
    assert names == {"planted"}
    assert seen.tests == 1


def test_what_ran_out_of_memory_is_tried_again(put: Callable[..., None]) -> None:
    troubles = [MemoryError("16 GiB"), torch.OutOfMemoryError("CUDA out of memory")]

    def load() -> Kernel:
        if troubles:
            raise troubles.pop()
        return right()

    put(planted(load=load))
    assert [LADDER.choose(CALL).name for _ in range(3)] == [FOUND_BELOW, FOUND_BELOW, "planted"]


def test_a_kernel_that_calls_its_own_operator_is_refused(put: Callable[..., None]) -> None:
    def load() -> Kernel:
        LADDER.choose(CALL)
        return right()

    put(planted(load=load))
    assert "calls the selective scan" in LADDER.explain(CALL).passed_over[0].reason


def test_a_failure_is_warned_of_once() -> None:
    with LADDER.with_candidates(planted(load=raises(ImportError("libfast.so")))):
        with pytest.warns(KernelWarning, match="`planted` of the selective scan.*libfast.so.*archdsl doctor"):
            LADDER.choose(CALL)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            LADDER.choose(CALL)
            LADDER.choose(CALL._replace(batch=3))


class Operations(TorchDispatchMode):
    """Names of the operations that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Only deterministic algorithms."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def default_double() -> Iterator[None]:
    """New tensors are float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


AROUND: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "device": lambda: torch.device("meta"),
    "operations": Operations,
    "flops": lambda: FlopCounterMode(display=False),
    "fake tensors": FakeTensorMode,
    "deterministic": deterministic,
    "float64": default_double,
}


@pytest.mark.parametrize("around", AROUND)
def test_the_first_call_may_come_within(put: Callable[..., None], around: str) -> None:
    seen = Seen()
    put(seen.candidate())
    state = torch.get_rng_state()
    with AROUND[around]():
        assert LADDER.choose(CALL).name == "planted"
    assert torch.equal(torch.get_rng_state(), state)
    assert seen.under == [(False, False, torch.device("cpu"))]


@pytest.mark.parametrize("mode", [Operations, lambda: FlopCounterMode(display=False)], ids=["all", "flops"])
def test_a_counter_does_not_see_the_test(
    put: Callable[..., None], mode: Callable[[], Operations | FlopCounterMode]
) -> None:
    put(planted())
    counts = []
    for _ in range(2):
        with mode() as counter:
            selective_scan(**arguments())
        counts.append(counter.names if isinstance(counter, Operations) else counter.get_flop_counts())
    assert counts[0] == counts[1]


def test_the_first_call_may_come_from_a_compiled_graph(put: Callable[..., None]) -> None:
    seen = Seen()
    put(seen.candidate())
    torch._dynamo.reset()
    scan = torch.compile(lambda x: selective_scan(**x).sum(), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(scan(arguments()), selective_scan(**arguments()).sum())
    assert seen.tests == 1


def test_nothing_is_tested_while_a_cuda_graph_is_captured(
    put: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(planted())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(
        RuntimeError, match=r"`planted`.*not proved itself on cuda in float32.*before the capture"
    ):
        LADDER.choose(CALL._replace(device="cuda"))
    assert LADDER.choose(CALL._replace(device="cuda"), "reference").name == "reference"
    assert LADDER.choose(CALL).name == "planted"


SMALL = """
arch small(dim = 8) {
  stem = patch_embed(8, dim)
  stage s1 { blocks = 2 x scan(order = both, state = 4) }
  head = pool(mean) -> linear(classes)
}
"""


def test_a_model_runs_right_over_a_wrong_kernel(put: Callable[..., None], tmp_path: Any) -> None:
    spec = tmp_path / "small.arch"
    spec.write_text(SMALL)
    torch.manual_seed(0)
    model = archdsl.build(spec, image=32, classes=3).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    put(planted(with_gradient("A", lambda g: g * 2)))
    torch.testing.assert_close(model(images), expected)
    assert set(model.kernels().values()) == {FOUND_BELOW}
    refusals = {r for choice in model.kernel_choices().values() for r in choice.passed_over}
    assert [r.name for r in refusals if "the gradient of A is off" in r.reason] == ["planted"]
    named = archdsl.build(spec, image=32, classes=3, backend="planted")
    for call in (named.kernels, lambda: named(images)):
        with pytest.raises(KernelError, match="the gradient of A is off"):
            call()


LAZY = """
import sys
import archdsl.kernels.selective_scan
print(sorted({"numba", "triton", "llvmlite", "mamba_ssm"} & set(sys.modules)))
"""
FORK = """
import os, signal, sys, threading
import torch
from planted import planted, right
from archdsl.kernels.selective_scan import LADDER

call = LADDER.typical("cpu", torch.float32, "bld")
begun, go_on = threading.Event(), threading.Event()

def load():
    if os.getpid() == parent:
        begun.set()
        go_on.wait()
    return right()

parent = os.getpid()
with LADDER.with_candidates(planted(load=load)):
    thread = threading.Thread(target=LADDER.choose, args=(call,))
    thread.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if LADDER.choose(call).name == "planted" else 7)
    status = os.waitpid(child, 0)[1]
    go_on.set()
    thread.join()
    print(status, LADDER.choose(call).name)
"""


@pytest.mark.parametrize(("code", "printed"), [(LAZY, "[]\n"), (FORK, "0 planted\n")], ids=["lazy", "fork"])
def test_in_a_process_of_its_own(code: str, printed: str) -> None:
    path = [str(p) for p in sys.path if p]
    code = f"import sys\nsys.path[:0] = {path!r}\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr
