"""The Ray cluster that a search runs on: one of its own on this machine, or one that is there."""

from __future__ import annotations

import logging
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import ray

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.nas.board import Resources
from archdsl.nas.executors.ray.sweeper import swept

OBJECT_STORE = 80 * 2**20
"""Bytes for objects that trials share, of which there are none."""
PATIENCE = 5.0
"""Seconds to wait for a cluster's answer."""
_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")


@contextmanager
def connected(resources: Resources) -> Iterator[bool]:
    """Ray, for the block. One that this process has started before is used and left as it is; this is
    whether it is so.

    Raises:
        DiagnosticError: E414 where it can't be started or reached, or has not what one job needs.
    """
    if ray.is_initialized():
        with _quiet(logging.WARNING), _signals():
            yield True
        return
    session: Path | None = None
    level = logging.ERROR if resources.address is None else logging.WARNING
    with _quiet(level), _signals():
        try:
            if resources.address is None:
                session = _start(resources)
                with swept(session):
                    yield False
            else:
                _join(resources.address)
                yield False
        finally:
            ray.shutdown()
        if session is not None:
            shutil.rmtree(session, ignore_errors=True)


def _start(resources: Resources) -> Path:
    """Starts a cluster of this machine alone; returns the folder of its logs."""
    try:
        with _without_api_server():
            context = ray.init(
                "local",  # not the one that RAY_ADDRESS or a file of Ray names
                num_cpus=resources.workers * resources.threads,
                num_gpus=None if resources.gpus else 0,
                object_store_memory=OBJECT_STORE,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                _node_ip_address="127.0.0.1",
            )
    except Exception as error:
        raise _unreachable("Ray cannot be started on this machine", error, _HELP_LOCAL) from None
    gpus = ray.cluster_resources().get("GPU", 0.0)
    if gpus < resources.gpus:
        raise DiagnosticError(
            Diagnostic(
                "E414",
                f"Ray finds {gpus:g} GPUs on this machine",
                notes=(f"a job is to have {resources.gpus:g}",),
                help="leave `--gpus` out, or give a share of one",
            )
        )
    return Path(context.address_info["session_dir"])


def _join(address: str) -> None:
    """Connects to a cluster, and makes sure that it can import archdsl."""
    if address.startswith("ray://"):
        raise DiagnosticError(
            Diagnostic(
                "E414",
                f"the driver of a search cannot stand outside of its cluster, as `{address}` would have it",
                notes=("Ray Tune would run on the cluster, away from the study's folder",),
                help="run the same command on a node of the cluster, with `--address auto`",
            )
        )
    try:
        found = _found(address)
        host, _, port = found.rpartition(":")
        if host and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
        ray.init(address=found, log_to_driver=False, configure_logging=False)
    except Exception as error:
        raise _unreachable(f"no Ray cluster answers at `{address}`", error, _HELP_CLUSTER) from None
    try:
        ray.get(ray.remote(num_cpus=0)(_probe).remote(), timeout=60)
    except Exception as error:
        raise _unreachable(
            "archdsl cannot be imported on the cluster",
            error,
            "install archdsl on every node, in the same version",
        ) from None


def _found(address: str) -> str:
    """Where `auto` leads, `host:port`; another address unchanged.

    Ray tries for a quarter of an hour to reach a cluster that is gone, so the place is looked at first. A Ray
    without this private function is given `auto` itself.
    """
    find = getattr(import_module("ray._private.services"), "canonicalize_bootstrap_address_or_die", None)
    return str(find(address)) if find is not None and address == "auto" else address


@contextmanager
def _without_api_server() -> Iterator[None]:
    """Keeps Ray from starting its API server in the block.

    It serves the dashboard and usage statistics, and even with both off it asks the network which cloud it
    runs in. Ray takes it for one that failed to start, with which it is content. A Ray without this private
    function starts as it likes.
    """
    services = import_module("ray._private.services")
    original = getattr(services, "start_api_server", None)
    if original is None:
        yield
        return
    services.__dict__["start_api_server"] = lambda *_, **__: (None, None)
    try:
        yield
    finally:
        services.__dict__["start_api_server"] = original


def _probe() -> None:
    """Runs on a node: imports what evaluates."""
    import_module("archdsl.nas.evaluation")


_HELP_LOCAL = "`ray start --head` may say more; the executor `local` needs no Ray"
_HELP_CLUSTER = "`ray status` on a node of the cluster says whether it runs; `--address auto` finds one there"


def _unreachable(message: str, error: Exception, help_: str) -> DiagnosticError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[-1][:200]}" if lines else type(error).__name__
    return DiagnosticError(Diagnostic("E414", message, notes=(reason,), help=help_))


@contextmanager
def _quiet(level: int) -> Iterator[None]:
    """Ray's own messages from a level on."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _signals() -> Iterator[None]:
    """Gives back the handlers of signals that Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for name in _SIGNALS if (s := getattr(signal, name, None)) is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
