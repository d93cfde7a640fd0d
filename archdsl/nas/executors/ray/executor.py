"""The executor `ray`: one experiment of Ray Tune, steered by the board."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from archdsl.diagnostics import Diagnostic, DiagnosticError, need
from archdsl.nas.board import Board, Resources
from archdsl.nas.executors.ray.environment import told

if TYPE_CHECKING:
    from ray.tune import Tuner

    from archdsl.nas.executors.ray.steering import Steering

STUDY = "study.txt"
"""In the folder of an experiment: the folder of its study."""


class RayExecutor:
    """Runs jobs as trials of Ray Tune, in an experiment named like the study's folder.

    Results and checkpoints lie where users of Ray Tune look for them: `~/ray_results/NAME/trial-17`, or below
    `Resources.results`. A study that goes on finds its unfinished jobs there. A job whose process or node
    dies is run again from its last checkpoint, unless the board has had enough of it.
    """

    def prepare(self, resources: Resources, folder: Path) -> None:
        """Looks whether Ray is there, before a study is begun. More can't be done: it has to be started by
        the thread that it is to end with, which waits meanwhile.

        Raises:
            DiagnosticError: E506 without Ray.
        """
        need("ray", "ray")

    def close(self) -> None:
        """Nothing."""

    def run(self, board: Board, resources: Resources, folder: Path) -> None:
        """Runs jobs until the board says that it is over.

        Ray is started on this machine, and ended afterwards, unless an address is given or it runs already in
        this process.

        Raises:
            DiagnosticError: E506 without Ray, E414 where it can't be started or reached.
        """
        with told(resources):
            _need_tune()
            self._run(board, resources, folder)

    def _run(self, board: Board, resources: Resources, folder: Path) -> None:
        from archdsl.nas.executors.ray.adapters import Interrupted
        from archdsl.nas.executors.ray.cluster import connected
        from archdsl.nas.executors.ray.steering import Steering

        storage = (resources.results or Path("~/ray_results")).expanduser().absolute()
        with connected(resources) as stays:
            experiment = _experiment(storage, folder)
            steering = Steering(board, resources, experiment)
            try:
                _tuner(steering, resources, experiment).fit()
            except BaseException as error:
                if stays:
                    steering.abandon()
                if isinstance(error, Interrupted):
                    raise error.error from None
                raise
            finally:
                steering.close()


def _need_tune() -> None:
    """Ray alone is not enough.

    Raises:
        DiagnosticError: E506 where Ray is installed without what Ray Tune needs.
    """
    need("ray", "ray")
    try:
        import_module("ray.tune")
    except ImportError as error:
        raise DiagnosticError(
            Diagnostic(
                "E506", "Ray Tune is not installed", notes=(str(error),), help="pip install 'archdsl[ray]'"
            )
        ) from None


def _experiment(storage: Path, folder: Path) -> Path:
    """Where the results of a study go: its name, or with a number where that is another study's.

    Raises:
        DiagnosticError: E508 where nothing can be written there.
    """
    study = str(folder.absolute())
    names = (folder.name if number == 1 else f"{folder.name}-{number}" for number in count(1))
    try:
        return next(storage / name for name in names if _is_of(storage / name, study))
    except OSError as error:
        raise DiagnosticError(
            Diagnostic(
                "E508",
                f"cannot write {storage}",
                notes=(error.strerror or str(error),),
                help="give a folder that all machines of the cluster share: --results",
            )
        ) from None


def _is_of(experiment: Path, study: str) -> bool:
    """Whether an experiment is a study's; one that nobody has begun becomes it."""
    mark = experiment / STUDY
    experiment.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), mark.open("x", encoding="utf-8") as file:
        file.write(study + "\n")
    return mark.read_text(encoding="utf-8").rstrip("\n") == study


def _tuner(steering: Steering, resources: Resources, experiment: Path) -> Tuner:
    from ray import tune
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    from archdsl.nas.executors.ray.adapters import JobCallback, JobScheduler, JobSearcher, job_id
    from archdsl.nas.executors.ray.trainable import JobTrainable

    request = {"cpu": resources.threads, "gpu": resources.gpus}
    return tune.Tuner(
        tune.with_resources(JobTrainable, request),
        param_space={
            "threads": resources.threads,
            "crowded": resources.address is None and resources.crowded,
        },
        tune_config=tune.TuneConfig(
            search_alg=JobSearcher(steering),
            scheduler=JobScheduler(steering),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=job_id,
            trial_dirname_creator=job_id,
        ),
        run_config=tune.RunConfig(
            name=experiment.name,
            storage_path=os.fspath(experiment.parent),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=-1),  # the board counts them
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[JobCallback(steering), CSVLoggerCallback(), JsonLoggerCallback()],
        ),
    )
