"""Starting workers: on this machine, on Ray or with Slurm; each engine starts the same one.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.launch.exits import DONE, FAILED, HALTED, INTERRUPTED, WRONG
    from optuna_layerwise.launch.launchers import (
        LAUNCHERS,
        Launcher,
        Request,
        Start,
        Worker,
        launcher_named,
    )
    from optuna_layerwise.launch.local import Place, cpu_places, gpu_places, start_process
    from optuna_layerwise.launch.on_ray import Cluster, connected
    from optuna_layerwise.launch.on_slurm import Jobs
    from optuna_layerwise.launch.supervising import Running, supervise

__all__ = [
    "DONE",
    "FAILED",
    "HALTED",
    "INTERRUPTED",
    "LAUNCHERS",
    "WRONG",
    "Cluster",
    "Jobs",
    "Launcher",
    "Place",
    "Request",
    "Running",
    "Start",
    "Worker",
    "connected",
    "cpu_places",
    "gpu_places",
    "launcher_named",
    "start_process",
    "supervise",
]

__getattr__, __dir__ = lazily(__name__)
