"""Studies in a database: open, work, pause, resume."""

from optuna_layerwise.studies.opening import open_study, requeue_abandoned
from optuna_layerwise.studies.working import count, finished, is_paused, pause, resume, work

__all__ = [
    "count",
    "finished",
    "is_paused",
    "open_study",
    "pause",
    "requeue_abandoned",
    "resume",
    "work",
]
