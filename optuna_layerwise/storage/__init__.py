"""The one adapter that touches Optuna's private storage calls, and the keys that we store.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from optuna_layerwise.lazy import lazily

if TYPE_CHECKING:
    from optuna_layerwise.io.plain import UNREADABLE
    from optuna_layerwise.storage.alike import check_parameters_differ, holds_study
    from optuna_layerwise.storage.claims import (
        ask,
        is_seen_by_threads,
        let_go,
        renew,
        requeue,
        set_user_attrs,
        tell,
        write_pending,
    )
    from optuna_layerwise.storage.damage import (
        Damaged,
        damaged_attributes,
        is_there,
        naming_what_cannot_be_read,
        readable_attrs,
        remove_damaged,
        trial_numbers,
    )
    from optuna_layerwise.storage.databases import claims_are_atomic, is_writable
    from optuna_layerwise.storage.enqueueing import enqueue_once
    from optuna_layerwise.storage.identity import (
        STUDY_KEY,
        marks,
        stored_marks,
        stored_study_id,
        study_id,
    )
    from optuna_layerwise.storage.journal_lines import DamagedJournalError
    from optuna_layerwise.storage.journal_repair import (
        JournalDamage,
        WrongLine,
        examine_journal,
        repair_journal,
    )
    from optuna_layerwise.storage.keys import (
        DATA_KEY,
        FINAL_KEY,
        FIRST_TRIALS_KEY,
        RUN_KEY,
        SETTINGS_KEY,
    )
    from optuna_layerwise.storage.leases import (
        LEASE_KEY,
        LEASE_SECONDS,
        LONGEST_LEASE,
        Lease,
        LeaseLostError,
        lease_of,
    )
    from optuna_layerwise.storage.long_values import PART_KEY, IncompleteValueError
    from optuna_layerwise.storage.opening import (
        OtherSchemaError,
        journal_path,
        open_storage,
        open_to_read,
    )
    from optuna_layerwise.storage.outages import (
        PATIENCE_SECONDS,
        StorageUnusableError,
        is_of_storage,
        without_waiting,
    )
    from optuna_layerwise.storage.owner import Owner
    from optuna_layerwise.storage.picture import (
        open_pictured,
        picture_of,
        refused_of,
        study_names,
    )
    from optuna_layerwise.storage.reading import SQLiteFile
    from optuna_layerwise.storage.relational import RelationalStorage
    from optuna_layerwise.storage.standing import (
        Standing,
        best_first,
        best_trial,
        only_infeasible,
        place,
        standing_of,
        violation_of,
        without_feasible,
    )
    from optuna_layerwise.storage.start import (
        START_KEY,
        has_start,
        has_unreadable_start,
        store_start,
        stored_start,
    )
    from optuna_layerwise.storage.study_attrs import (
        all_study_attrs,
        compare_and_set,
        notices_in,
        storage_of,
        study_attr,
        update,
        write_once,
    )
    from optuna_layerwise.storage.trials import (
        TIE_KEY,
        TRIAL_KEY,
        all_trials,
        generation_of,
        own_record,
        owner_of,
        stored_trial,
        trial_attr,
        trial_record,
        write_trial_record,
    )
    from optuna_layerwise.storage.upgrading import upgrade_schema
    from optuna_layerwise.storage.urls import without_secrets
    from optuna_layerwise.storage.writing import check_writable

__all__ = [
    "DATA_KEY",
    "FINAL_KEY",
    "FIRST_TRIALS_KEY",
    "LEASE_KEY",
    "LEASE_SECONDS",
    "LONGEST_LEASE",
    "PART_KEY",
    "PATIENCE_SECONDS",
    "RUN_KEY",
    "SETTINGS_KEY",
    "START_KEY",
    "STUDY_KEY",
    "TIE_KEY",
    "TRIAL_KEY",
    "UNREADABLE",
    "Damaged",
    "DamagedJournalError",
    "IncompleteValueError",
    "JournalDamage",
    "Lease",
    "LeaseLostError",
    "OtherSchemaError",
    "Owner",
    "RelationalStorage",
    "SQLiteFile",
    "Standing",
    "StorageUnusableError",
    "WrongLine",
    "all_study_attrs",
    "all_trials",
    "ask",
    "best_first",
    "best_trial",
    "check_parameters_differ",
    "check_writable",
    "claims_are_atomic",
    "compare_and_set",
    "damaged_attributes",
    "enqueue_once",
    "examine_journal",
    "generation_of",
    "has_start",
    "has_unreadable_start",
    "holds_study",
    "is_of_storage",
    "is_seen_by_threads",
    "is_there",
    "is_writable",
    "journal_path",
    "lease_of",
    "let_go",
    "marks",
    "naming_what_cannot_be_read",
    "notices_in",
    "only_infeasible",
    "open_pictured",
    "open_storage",
    "open_to_read",
    "own_record",
    "owner_of",
    "picture_of",
    "place",
    "readable_attrs",
    "refused_of",
    "remove_damaged",
    "renew",
    "repair_journal",
    "requeue",
    "set_user_attrs",
    "standing_of",
    "storage_of",
    "store_start",
    "stored_marks",
    "stored_start",
    "stored_study_id",
    "stored_trial",
    "study_attr",
    "study_id",
    "study_names",
    "tell",
    "trial_attr",
    "trial_numbers",
    "trial_record",
    "update",
    "upgrade_schema",
    "violation_of",
    "without_feasible",
    "without_secrets",
    "without_waiting",
    "write_once",
    "write_pending",
    "write_trial_record",
]

__getattr__, __dir__ = lazily(__name__)
