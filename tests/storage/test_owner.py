from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time

import pytest

from optuna_layerwise.storage import Owner

CHILD = """
import dataclasses, json, time
from optuna_layerwise.storage import Owner
print(json.dumps(dataclasses.asdict(Owner.of_this_process())), flush=True)
time.sleep(60)
"""


def test_process_is_alive_until_killed_and_dead_already_as_a_zombie() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        owner = Owner(**json.loads(child.stdout.readline()))
        assert owner.pid == child.pid
        assert not owner.is_dead
        child.kill()
        until = time.monotonic() + 10
        while not owner.is_dead and time.monotonic() < until:
            time.sleep(0.01)  # the signal is on its way
        assert owner.is_dead and child.returncode is None, "a zombie nobody has waited for"
        child.wait()
        assert owner.is_dead


def test_process_that_got_a_dead_ones_number_is_not_it() -> None:
    owner = Owner.of_this_process()
    assert not owner.is_dead
    assert dataclasses.replace(owner, started=f"{owner.started}0").is_dead


def test_nothing_is_known_of_another_host() -> None:
    owner = Owner.of_this_process()
    assert not dataclasses.replace(owner, host="elsewhere", started="0").is_dead


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_command_with_spaces_and_brackets_in_its_name_has_a_start() -> None:
    name = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a) R 1 ('); print(1, flush=True); "
    with subprocess.Popen(
        [sys.executable, "-c", name + "time.sleep(60)"], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        from optuna_layerwise.storage.owner import _process_start

        ticks = _process_start(child.pid).rpartition(":")[2]
        mine = Owner.of_this_process().started.rpartition(":")[2]
        child.kill()
    assert int(ticks) >= int(mine) > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_process_is_its_own_owner() -> None:
    code = (
        "import os; from optuna_layerwise.storage import Owner\n"
        "parent = Owner.of_this_process(); child = os.fork()\n"
        "if not child:\n"
        "    mine = Owner.of_this_process()\n"
        "    os._exit(int(not (mine.pid == os.getpid() != parent.pid and not mine.is_dead)))\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_process_of_another_container_is_not_judged_by_our_process_numbers() -> None:
    owner = Owner.of_this_process()
    boot, container, ticks = owner.started.split(":")
    assert owner.is_near
    elsewhere = dataclasses.replace(owner, started=f"{boot}:{container}1:{ticks}", pid=2**22 + 1)
    assert not elsewhere.is_dead and not elsewhere.is_near
    before_a_restart = dataclasses.replace(owner, started=f"{boot[::-1]}:{container}:{ticks}")
    assert before_a_restart.is_dead and not before_a_restart.is_near
