"""Which study this is, whatever its name, its number and its database.

The id is random, and is written once. `optuna.copy_study` copies it with all that the study
holds: a copy and its source are the same search, continued in two places, and have one id. What
must not be shared by the two, such as a folder of checkpoints, needs the place of the study (its
database and name) beside the id. `Study.add_trials` copies trials alone, so the id that their
records carry shows that they belong to another study.
"""

from __future__ import annotations

import secrets

from optuna import Study

from optuna_layerwise.storage.study_attrs import study_attr, write_once

STUDY_KEY = "olw:study"
"""Study system attribute: the study's id."""


def stored_study_id(study: Study) -> str | None:
    """The study's id, if it has one already; nothing is written."""
    stored = study_attr(study, STUDY_KEY, system=True)
    return stored if isinstance(stored, str) else None


def study_id(study: Study) -> str:
    """The study's id, which is drawn and stored if it has none.

    Example:
        >>> import optuna
        >>> study = optuna.create_study()
        >>> study_id(study) == study_id(study)
        True
    """
    stored = stored_study_id(study)
    return stored or str(write_once(study, STUDY_KEY, secrets.token_hex(16), system=True))
