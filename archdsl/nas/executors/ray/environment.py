"""What Ray and Ray Tune are told through environment variables; Ray reads some when it is imported."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module

from archdsl.nas.board import Resources

SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # no GPU but those asked for
    "RAY_AIR_NEW_OUTPUT": "0",  # silent with verbose = 0, which the new one is not
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths in tasks mean the same everywhere
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what its daemons say would be printed
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "TUNE_FORCE_TRIAL_CLEANUP_S": "20",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
}
OWN = {
    "RAY_enable_worker_prestart": "0",  # Ray Tune's actors have an environment of their own: it starts others
    "RAY_prestart_worker_first_driver": "0",
}
"""For a cluster that is started here."""


@contextmanager
def told(resources: Resources) -> Iterator[None]:
    """Sets the variables for the block. Import Ray inside."""
    settings = SETTINGS | {"TUNE_MAX_PENDING_TRIALS_PG": str(resources.workers)}
    if resources.address is None and not _runs():
        settings |= OWN | _token()
    before = {name: os.environ.get(name) for name in (*settings, "RAY_AUTH_MODE")}  # Ray sets that itself
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if "RAY_AUTH_TOKEN" in settings:
            _forget_token()


def _forget_token() -> None:
    """Makes Ray read its variables again, which it keeps; else this process could start it no more."""
    with suppress(ImportError, AttributeError):
        raylet = import_module("ray._raylet")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
        raylet.Config.initialize("")


def _runs() -> bool:
    """Whether this process has started Ray, or joined a cluster."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _token() -> dict[str, str]:
    """Keeps other users of this machine out of a cluster of our own, without a file in `~/.ray`."""
    if any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return {}
    return {"RAY_AUTH_TOKEN": _secret()}


@lru_cache(maxsize=1)
def _secret() -> str:
    """One for this process: Ray reads it once."""
    return secrets.token_hex(32)
