"""Orders to the workers of a study."""

from __future__ import annotations

import lives
import optuna
import pytest

from optuna_layerwise.studies import (
    Order,
    control,
    is_paused,
    open_study,
    order_of,
    pause,
    resume,
    stop,
)
from optuna_layerwise.studies.control import CONTROL_KEY


@pytest.fixture
def study(url: str) -> optuna.Study:
    return open_study(url, study_name="s")


@pytest.mark.parametrize(
    ("give", "now", "order"),
    [
        (pause, False, Order.PAUSE),
        (pause, True, Order.PAUSE_NOW),
        (stop, False, Order.STOP),
        (stop, True, Order.STOP_NOW),
    ],
)
def test_an_order_is_seen_by_every_process_until_it_is_taken_back(
    url: str, study: optuna.Study, give: lives.Start, now: bool, order: Order
) -> None:
    assert order_of(study) is Order.RUN
    other = open_study(url, study_name="s")
    give(other, now=now)
    assert order_of(study) is order
    assert is_paused(study)
    resume(study)
    assert order_of(other) is Order.RUN
    assert not is_paused(other)


def test_each_order_says_what_is_to_end() -> None:
    assert [order for order in Order if not order.halts] == [Order.RUN]
    assert [order for order in Order if order.at_once] == [Order.PAUSE_NOW, Order.STOP_NOW]
    assert [order for order in Order if order.ends] == [Order.STOP, Order.STOP_NOW]


def test_what_is_no_order_is_an_error_that_resume_mends(study: optuna.Study) -> None:
    study.set_user_attr(CONTROL_KEY, {"__reduce__": "os.system"})
    with pytest.raises(ValueError, match="study 's' has the order .* expected one of 'run'"):
        order_of(study)
    resume(study)
    assert order_of(study) is Order.RUN


def test_of_two_orders_neither_is_lost(
    url: str, study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(study)
    pause(study, now=True)
    assert order_of(study) is Order.STOP_NOW, "it holds until it is taken back"
    read = control._stored

    def read_before_another_order(study: optuna.Study) -> object:
        monkeypatch.undo()
        stored = read(study)
        study.set_user_attr(CONTROL_KEY, Order.STOP.value)
        return stored

    monkeypatch.setattr(control, "_stored", read_before_another_order)
    resume(study)
    assert order_of(study) is Order.STOP, "it was given after this one had looked"
    resume(study)
    assert order_of(study) is Order.RUN
