"""The one adapter that touches Optuna's private storage calls, and the keys that we store."""

from optuna_layerwise.storage.databases import (
    SqliteStorage,
    claims_are_atomic,
    open_storage,
    without_secrets,
)
from optuna_layerwise.storage.keys import FINAL_KEY, RUN_KEY, SETTINGS_KEY
from optuna_layerwise.storage.owner import Owner
from optuna_layerwise.storage.start import START_KEY, store_start, stored_start
from optuna_layerwise.storage.trials import (
    TIE_KEY,
    TRIAL_KEY,
    all_trials,
    generation_of,
    owner_of,
    requeue,
    stored_trial,
    trial_record,
    write_trial_record,
)

__all__ = [
    "FINAL_KEY",
    "RUN_KEY",
    "SETTINGS_KEY",
    "START_KEY",
    "TIE_KEY",
    "TRIAL_KEY",
    "Owner",
    "SqliteStorage",
    "all_trials",
    "claims_are_atomic",
    "generation_of",
    "open_storage",
    "owner_of",
    "requeue",
    "store_start",
    "stored_start",
    "stored_trial",
    "trial_record",
    "without_secrets",
    "write_trial_record",
]
