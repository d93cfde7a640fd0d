"""Jobs on Ray: Ray Tune runs the trials, on this machine or on a cluster; the board decides.

archdsl has to be importable on every node of a cluster, with the extensions that a search uses, and the
folder of results has to be one that all nodes share.
"""

from __future__ import annotations

from archdsl.nas.executors.ray.executor import RayExecutor

__all__ = ["RayExecutor"]
