"""Workers are kept alive, and end together: with real processes, of a few lines each."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from optuna_layerwise.launch import (
    DONE,
    FAILED,
    HALTED,
    INTERRUPTED,
    WRONG,
    Place,
    Running,
    cpu_places,
    gpu_places,
    start_process,
    supervise,
)

PLACE = Place("0-cpu", "", 3)
Seat = Callable[[], Running]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(tmp_path: Path, said: list[str]) -> Callable[..., int]:
    """Supervises one process for each program text."""

    def run_programs(*programs: str, restarts: int = 2) -> int:
        starts: list[Seat] = [
            partial(start_process, [sys.executable, "-c", text], PLACE, tmp_path / "logs", {})
            for text in programs
        ]
        return supervise(
            starts, restarts=restarts, say=said.append, on_poll=lambda: None, backoff=0.01
        )

    return run_programs


def exits(*codes: int) -> list[str]:
    return [f"raise SystemExit({code})" for code in codes]


@pytest.mark.sweep(2)
@pytest.mark.parametrize(
    ("codes", "whole"),
    [
        ((DONE, DONE), DONE),
        ((DONE, WRONG), DONE),
        ((HALTED, HALTED), HALTED),
        ((INTERRUPTED, DONE), DONE),
        ((WRONG, WRONG), WRONG),
    ],
)
def test_the_whole_ends_as_the_worker_that_came_furthest(
    run: Callable[..., int], codes: tuple[int, ...], whole: int
) -> None:
    assert run(*exits(*codes)) == whole


def test_the_dead_are_started_again_but_not_for_ever(
    run: Callable[..., int], said: list[str], tmp_path: Path
) -> None:
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x'); "
    assert run(count + "raise SystemExit(1)", restarts=2) == FAILED
    assert (tmp_path / "count").read_text() == "xxx"
    assert [line.rpartition(";")[2] for line in said] == [
        " started again in 0 s (1 of 2)",
        " started again in 0 s (2 of 2)",
        " it is not started again after 2 times",
    ]


def test_a_killed_worker_is_started_again_and_a_wrong_one_is_not(
    run: Callable[..., int], said: list[str], tmp_path: Path
) -> None:
    once = f"import os; os.mkdir({str(tmp_path / 'once')!r}) or os.kill(os.getpid(), 9)"
    assert run(f"try:\n    {once}\nexcept FileExistsError:\n    pass", *exits(WRONG)) == DONE
    assert "worker 0-cpu ended with exit code -9" in " ".join(said)
    assert sum("cannot work; its output:" in line for line in said) == 1


def test_an_end_from_outside_is_passed_on_once_and_waited_for(
    run: Callable[..., int], said: list[str], tmp_path: Path
) -> None:
    ready = [tmp_path / name for name in "ab"]
    polite = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    print('asked', flush=True)\n"
        "    time.sleep(0.5)\n"
        f"    sys.exit({INTERRUPTED})\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "open({!r}, 'w').close()\n"
        "time.sleep(60)"
    )

    def interrupt() -> None:
        while not all(path.exists() for path in ready):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert run(*(polite.format(str(path)) for path in ready)) == INTERRUPTED
    assert said == ["asking the workers to give their trials back"]
    written = (tmp_path / "logs" / "worker-0-cpu.log").read_text()
    assert sorted(written) == sorted("asked\n" * 2)  # two write to it at once


def test_a_second_ctrl_c_kills_the_workers(
    run: Callable[..., int], said: list[str], tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    stubborn = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(ready)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)"
    )

    def interrupt() -> None:
        while not (ready.exists() and ready.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        while not said:  # the first one is noticed
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(stubborn)
    with pytest.raises(ProcessLookupError):
        os.kill(int(ready.read_text()), 0)


def test_each_worker_sees_its_own_gpu_and_its_share_of_the_cores(tmp_path: Path) -> None:
    places = gpu_places("0, 1,GPU-8932f937-d72c")
    assert [place.gpu for place in places] == ["0", "1", "GPU-8932f937-d72c"]
    assert len({place.name for place in gpu_places("0,0")}) == 2  # two workers on one GPU
    cores = len(os.sched_getaffinity(0))
    assert {place.threads for place in cpu_places(cores)} == {1}
    assert cpu_places(1)[0].threads == cores
    assert cpu_places(2 * cores)[0].threads == 1
    show = (
        "import os; print(*(os.environ[n] for n in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')))"
    )
    process = start_process([sys.executable, "-c", show], places[1], tmp_path, {})
    assert process.process.wait() == 0
    assert Path(process.log).read_text().split() == ["1", str(places[1].threads)]


@pytest.mark.parametrize("gpus", ["", "0,", "zero", "0;1", "0 1"])
def test_what_is_no_list_of_gpus_is_refused(gpus: str) -> None:
    with pytest.raises(ValueError, match="numbers or UUIDs of GPUs with commas, such as 0,1"):
        gpu_places(gpus)


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="--workers must be at least 1, got 0"):
        cpu_places(0)
