"""What is wrong with a study, and what can be done.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.studies.doctor.examining import CHECKS, Check, examine, is_ours
    from optuna_layerwise.studies.doctor.finding import Finding, Severity
    from optuna_layerwise.studies.doctor.journals import wrong_lines

__all__ = ["CHECKS", "Check", "Finding", "Severity", "examine", "is_ours", "wrong_lines"]

__getattr__, __dir__ = lazily(__name__)
