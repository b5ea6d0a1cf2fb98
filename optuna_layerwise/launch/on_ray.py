"""Workers as Ray actors: one for each GPU, or a fraction of one, of a cluster.

https://docs.ray.io/en/latest/ray-core/actors.html. Ray only places them; what they do, and what
happens when one dies, is as on one machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from optuna_layerwise.launch.exits import FAILED
from optuna_layerwise.launch.launchers import Request, Start, Worker

_OBJECT_STORE_BYTES = 100 * 2**20
"""Of a cluster of our own: nothing is kept there."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """What to take of which cluster.

    Args:
        address: Of a cluster that runs, such as ``auto``; ``None`` starts one on this machine.
        workers: Number of workers.
        gpus: Of each worker; may be a fraction.
        cpus: Of each worker.
    """

    address: str | None = None
    workers: int = 1
    gpus: float = 0.0
    cpus: int = 1


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Callable[[str, Callable[[], int]], RayActor]]:
    """Connect to a cluster; yields a function that starts a worker there, of the given name.

    Raises:
        ConnectionError: if there is no cluster at the address, or none can be started here.
        ValueError: if the cluster does not have what the workers need, or Ray is not installed.
    """
    ray = _ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {
        "include_dashboard": False,
        "num_cpus": cluster.workers * cluster.cpus,
        "object_store_memory": _OBJECT_STORE_BYTES,
    }
    try:
        ray.init(
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if cluster.address else own),
        )
    except Exception as error:  # Ray raises bare ones, too
        what = f"no Ray cluster at {cluster.address}" if cluster.address else "Ray does not start"
        reason = str(error).strip().splitlines()[0]
        raise ConnectionError(f"{what}: {reason}. See --ray-address, and Ray's logs") from error
    try:
        _check(ray.cluster_resources(), cluster)
        yield lambda name, worker: RayActor(name, worker, cluster)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def actors(request: Request) -> Iterator[list[Start]]:
    """One actor for each worker; see `Launcher`."""
    cluster = Cluster(
        address=request.options.get("ray_address"),
        workers=request.elsewhere,
        gpus=request.gpus_per_worker,
        cpus=request.cpus_per_worker,
    )
    with connected(cluster) as start:
        yield [partial(_started, start, request, str(index)) for index in range(cluster.workers)]


def _started(
    start: Callable[[str, Worker], RayActor], request: Request, name: str, worker: Worker
) -> RayActor:
    return start(name, request.placed(worker))


def _check(there: dict[str, float], cluster: Cluster) -> None:
    for kind, one in (("CPU", cluster.cpus), ("GPU", cluster.gpus)):
        need, have = one * cluster.workers, there.get(kind, 0)
        if need > have:
            raise ValueError(
                f"{cluster.workers} workers with {one:g} {kind}s each need {need:g}, but the Ray "
                f"cluster has {have:g}; choose fewer --workers or less for each"
            )


class _Worker:
    """The actor."""

    def place(self) -> tuple[str, int]:
        """Its node and process."""
        return _ray().get_runtime_context().get_node_id(), os.getpid()

    def work(self, worker: Callable[[], int]) -> int:
        """Run a worker; returns its exit code."""
        return worker()


class RayActor:
    """See `Running`.

    Args:
        name: For people.
        worker: What the actor runs.
        cluster: Says what it needs.
    """

    def __init__(self, name: str, worker: Callable[[], int], cluster: Cluster) -> None:
        ray = _ray()
        self.name = name
        self.log = "in the folder of Ray's session, by default /tmp/ray/session_latest/logs"
        threads = {"OMP_NUM_THREADS": str(cluster.cpus)}
        remote = ray.remote(
            num_cpus=cluster.cpus, num_gpus=cluster.gpus, runtime_env={"env_vars": threads}
        )(_Worker)
        self._actor = remote.remote()
        self._place = self._actor.place.remote()
        self._result = self._actor.work.remote(worker)

    def poll(self) -> int | None:
        """See `Running`; an actor that died, or whose worker raised, has failed."""
        ray = _ray()
        done, _ = ray.wait([self._result], timeout=0)
        if not done:
            return None
        try:
            return int(ray.get(self._result))
        except ray.exceptions.RayError as error:
            self.log = f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
            return FAILED

    def stop(self) -> None:
        """See `Running`: SIGTERM, sent on its own node."""
        ray = _ray()
        if not ray.wait([self._place], timeout=0)[0]:  # not placed yet
            self.kill()
            return
        node, pid = ray.get(self._place)
        strategies = ray.util.scheduling_strategies
        there = strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        send = ray.remote(num_cpus=0)(_terminate)
        send.options(scheduling_strategy=there).remote(pid)

    def kill(self) -> None:
        """See `Running`."""
        _ray().kill(self._actor)


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise ValueError("--engine ray needs Ray: pip install 'optuna-layerwise[ray]'") from error


def _terminate(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
