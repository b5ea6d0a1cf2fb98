"""Orders to all workers of a study, on any machine: pause, stop, go on.

An order is one attribute of the study. Workers read it between trials, and every few seconds
within one. It holds until `resume` takes it back; until then further orders add to it.
"""

from __future__ import annotations

import enum
from typing import Any

import optuna

from optuna_layerwise.storage import compare_and_set, naming_what_cannot_be_read, update

CONTROL_KEY = "olw:control"
"""Study user attribute: the value of an `Order`."""


class Order(str, enum.Enum):
    """What the workers of a study are to do.

    Examples:
        >>> Order.PAUSE_NOW.halts, Order.PAUSE_NOW.at_once
        (True, True)
    """

    RUN = "run"
    PAUSE = "pause"
    PAUSE_NOW = "pause now"
    STOP = "stop"
    STOP_NOW = "stop now"

    @property
    def halts(self) -> bool:
        """Whether no trial is to be started."""
        return self is not Order.RUN

    @property
    def at_once(self) -> bool:
        """Whether running trials are to be given back at their next step, too."""
        return self in (Order.PAUSE_NOW, Order.STOP_NOW)

    @property
    def ends(self) -> bool:
        """Whether workers that would wait for the end of a pause are to end, too."""
        return self in (Order.STOP, Order.STOP_NOW)


def order_of(study: optuna.Study) -> Order:
    """The order that holds now, read from the storage.

    Raises:
        ValueError: if the storage holds something else there.
    """
    stored = _stored(study)
    try:
        return Order(stored)
    except ValueError as error:
        known = ", ".join(repr(order.value) for order in Order)
        raise ValueError(
            f"study {study.study_name!r} has the order {stored!r} in its attribute "
            f"{CONTROL_KEY!r}; expected one of {known}: pause or resume the study anew"
        ) from error


def pause(study: optuna.Study, *, now: bool = False) -> None:
    """Ask all workers of a study, on any machine, to stop after their running trials.

    Args:
        study: The study.
        now: Ask them to give their running trials back at the next step; checkpoints are kept.
    """
    _give(study, Order.PAUSE_NOW if now else Order.PAUSE)


def stop(study: optuna.Study, *, now: bool = False) -> None:
    """As `pause`, and workers that would wait for the end of a pause end as well."""
    _give(study, Order.STOP_NOW if now else Order.STOP)


def resume(study: optuna.Study) -> None:
    """Take a pause or a stop back; workers that have ended have to be started again.

    An order that somebody gives at the same moment stands.
    """
    stored = _stored(study)
    if stored != Order.RUN:
        compare_and_set(study, CONTROL_KEY, stored, Order.RUN.value)


def is_paused(study: optuna.Study) -> bool:
    """Whether no trial is to be started, because of `pause` or `stop`."""
    return order_of(study).halts


def _stored(study: optuna.Study) -> Any:
    with naming_what_cannot_be_read(study):
        stored = study.user_attrs.get(CONTROL_KEY)
    return Order.RUN if stored is None else stored  # null is what was taken back


def _give(study: optuna.Study, order: Order) -> None:
    """Add an order to the one that holds: a pause that follows a stop takes nothing of it back."""

    def both(stored: Any) -> Any:
        known = stored in [known.value for known in Order]
        orders = (Order(stored), order) if known else (order,)
        ends, at_once = any(o.ends for o in orders), any(o.at_once for o in orders)
        return next(o.value for o in Order if o.halts and (o.ends, o.at_once) == (ends, at_once))

    with naming_what_cannot_be_read(study):
        update(study, CONTROL_KEY, both)
