"""What a study itself holds: the order to its workers, its result, a claim to finalize it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import optuna

from optuna_layerwise.records.attributes import UnreadableAttribute
from optuna_layerwise.records.final import (
    CLAIM_KEY,
    claim_of,
    lost_opening,
    openings,
    stored_final,
)
from optuna_layerwise.records.fingerprint import unreadable_fingerprints
from optuna_layerwise.storage import LEASE_SECONDS, compare_and_set, has_unreadable_start
from optuna_layerwise.studies.control import CONTROL_KEY, order_of, resume
from optuna_layerwise.studies.doctor.finding import Finding


def order_to_workers(study: optuna.Study) -> Iterator[Finding]:
    """One that no worker understands."""
    try:
        order_of(study)
    except ValueError:
        problem = f"attribute {CONTROL_KEY!r} is no order: {study.user_attrs[CONTROL_KEY]!r}"
        remedy = "--repair takes it back, as `pause` or `resume` do"
        yield Finding("error", problem, remedy, repair=partial(resume, study))


def final_result(study: optuna.Study) -> Iterator[Finding]:
    """One that cannot be read, or that a process has begun and not ended."""
    try:
        final, opened = stored_final(study), openings(study)
    except UnreadableAttribute as error:
        problem = f"attribute {error.key!r} cannot be read: {error.reason}"
        yield Finding("error", problem, "restore it from a backup: it cannot be made again")
        return
    if lost := lost_opening(final.number if final else 0, opened, "--again"):
        yield Finding("warning", lost.rstrip("."), "finalize the study")
    if final is not None:
        return
    seen = study.user_attrs.get(CLAIM_KEY)
    drop = partial(compare_and_set, study, CLAIM_KEY, seen, None)  # another claim by then stays
    try:
        claim = claim_of(study)
    except UnreadableAttribute as error:
        problem = f"attribute {CLAIM_KEY!r} cannot be read: {error.reason}"
        yield Finding("error", problem, "--repair removes it", repair=drop)
        return
    if claim is None:
        return
    if claim.is_dead:
        problem = f"{claim.words} died while it finalized the study"
        remedy = "--repair takes its claim back, as does the next `finalize` or `resume`"
        yield Finding("warning", problem, remedy, repair=drop)
    elif claim.owner.is_near:
        yield Finding("note", f"{claim.words} finalizes the study")
    else:
        seconds = claim.lease.seconds if claim.lease else LEASE_SECONDS
        problem = f"{claim.words} finalizes the study, and cannot be seen from here"
        remedy = (
            f"if it is gone, the next `finalize` or `resume` takes over after {seconds:g} seconds "
            "without a sign of life, and --repair at once; if it lives, it opens nothing then"
        )
        yield Finding("warning", problem, remedy, repair=drop)


def other_attributes(study: optuna.Study) -> Iterator[Finding]:
    """How the sampler was started, and what trials were made with."""
    if has_unreadable_start(study):
        yield Finding(
            "error",
            "what the sampler was started with cannot be read",
            "the sampler goes on without; draws do not repeat those of before",
        )
    for key, reason in unreadable_fingerprints(study).items():
        problem = f"attribute {key!r} cannot be read: {reason}"
        yield Finding("error", problem, "what made its trials is not known any more")
