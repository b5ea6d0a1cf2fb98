"""What is wrong with a study, and what can be done."""

from optuna_layerwise.studies.doctor.examining import CHECKS, Check, examine, is_ours
from optuna_layerwise.studies.doctor.finding import Finding, Severity

__all__ = ["CHECKS", "Check", "Finding", "Severity", "examine", "is_ours"]
