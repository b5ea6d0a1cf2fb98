"""Stop signals: noted once, shared by nested uses, and given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from optuna_layerwise.studies.pausing import StopSignals, TrialPaused

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_are_left_as_they_were() -> Iterator[None]:
    """They are Python's, also where the tests were started with Ctrl-C ignored (``nohup``)."""
    at_start = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before
    signal.signal(signal.SIGINT, at_start)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_nothing_is_raised(number: signal.Signals) -> None:
    with StopSignals() as stop:
        assert not stop.received
        send(number)
        assert stop.received
    assert stop.received


def test_a_second_ctrl_c_acts_at_once() -> None:
    with StopSignals() as stop:
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert stop.received


def test_a_second_sigterm_ends_the_process() -> None:
    code = (
        "import os, signal\n"
        "from optuna_layerwise.studies.pausing import StopSignals\n"
        "with StopSignals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print(stop.received, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "True\n"
    assert result.returncode == -signal.SIGTERM


def test_nested_uses_share_the_outermost_and_leave_it_active() -> None:
    with StopSignals() as outer:
        inner = StopSignals()
        with inner as shared:
            assert shared is outer
            send(signal.SIGINT)
        assert outer.received
        assert not inner.received  # the one further out acts on it
    with StopSignals() as outer:
        with StopSignals():
            pass
        send(signal.SIGTERM)  # would end this process, were it not still noted
        assert outer.received


def test_each_outermost_use_starts_afresh() -> None:
    with StopSignals():
        send(signal.SIGINT)
    with StopSignals() as stop:
        assert not stop.received
        send(signal.SIGINT)
        assert stop.received


def test_handlers_come_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), StopSignals():
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


def test_another_thread_notes_nothing_and_changes_no_handler() -> None:
    seen = []

    def use() -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        with StopSignals() as stop:
            seen.append([signal.getsignal(number) for number in SIGNALS] == before)
            seen.append(stop.received)

    thread = threading.Thread(target=use)
    with StopSignals() as outer:
        send(signal.SIGINT)
        thread.start()
        thread.join()
    assert outer.received
    assert seen == [True, False]


def test_a_paused_trial_is_no_failure_to_optuna() -> None:
    assert not issubclass(TrialPaused, (Exception, KeyboardInterrupt))
