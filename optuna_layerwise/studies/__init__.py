"""Studies in a database: open, work, pause, resume, stop.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.studies.continuing import open_study, requeue_abandoned
    from optuna_layerwise.studies.control import Order, is_paused, order_of, pause, resume, stop
    from optuna_layerwise.studies.working import StudyDeletedError, count, finished, work

__all__ = [
    "Order",
    "StudyDeletedError",
    "count",
    "finished",
    "is_paused",
    "open_study",
    "order_of",
    "pause",
    "requeue_abandoned",
    "resume",
    "stop",
    "work",
]

__getattr__, __dir__ = lazily(__name__)
