"""What makes two trials one: trained once, its values stand for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from archdsl.tasks import Task


def trial_key(training: str, task: Task, seeds: Sequence[int]) -> str:
    """64 hexadecimal digits; trials with equal ones get equal values, up to rounding.

    The rule: whatever decides a number of a run is in the key, and nothing else is.

    - From the architecture its `training_digest`: the function and, beside it, the image size, the rate of
      every drop path at its depth, `init` with its numbers, where a layer scale starts, and whatever else
      operators declare `training_only`.
    - From the task its text: the data, every field of the recipe, and the epochs, which are the budget of one
      trial.
    - The seeds of the runs behind it.

    Left out is what all trials of a study have in common and `archdsl.nas.identity.identity` covers: rungs
    and halving (when a trial is looked at, not what is seen there), objectives, the sampler.

    Args:
        training: see `archdsl.graph.digest.training_digest`.
        task: with the fields that were varied.
        seeds: in order.
    """
    text = json.dumps([training, task.text(), list(seeds)])
    return hashlib.sha256(text.encode()).hexdigest()
