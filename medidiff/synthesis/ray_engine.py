"""Samples made by Ray's workers, on this machine or a cluster that shares the folder; the driver keeps the journal."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medidiff.errors import DeviceError, MedidiffError, UsageError
from medidiff.synthesis.dataset import Dataset
from medidiff.synthesis.journals import process_tag
from medidiff.synthesis.make import make_one
from medidiff.synthesis.request import SetRequest
from medidiff.synthesis.write import Writer
from medidiff.tasks.sample_maker import SampleMaker


def made_by_ray(
    request: SetRequest,
    maker: SampleMaker,
    writer: Writer,
    root: Path,
    shard: tuple[int, int],
    workers: int | None,
    todo: Sequence[int],
) -> Iterator[tuple[dict[str, Any], float, int]]:
    """What `make_one` gives for each number, in whatever order they are done.

    RAY_ADDRESS names a running cluster, whose machines must see the folder and the prior under the same path; without
    it Ray is started here and ended with the job.

    Args:
        request: The set.
        maker: The driver's own, for the machine's settings.
        writer: Makes files.
        root: The set's folder.
        shard: (i, k).
        workers: Processes; None: one for every `threads` cores.
        todo: Numbers to make.

    Raises:
        UsageError: Ray is not installed.
        DeviceError: A worker was ended from outside.
        MedidiffError: What a worker raised.
    """
    try:
        import ray
        from ray.exceptions import RayActorError, RayTaskError
        from ray.util import ActorPool
    except ImportError as error:
        raise UsageError("--engine ray: Ray is not installed. Install it: pip install 'medidiff[ray]'.") from error
    session = maker.session
    same = replace(
        request, prior=request.prior.resolve(), precision=session.choice.dtype, device=session.device.type,
        threads=session.threads,
    )  # fmt: skip
    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_worker_niceness", "0")  # as a local job; Ray's own 15 starves beside any other program
    started = not ray.is_initialized()
    if started:
        count = workers or max(1, (os.cpu_count() or 1) // session.threads)
        here: dict[str, Any] = {} if address else {"num_cpus": count * session.threads, "include_dashboard": False}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **here)
    try:
        room = int(ray.cluster_resources().get("CPU", 0)) // session.threads
        if room < 1:
            raise UsageError(f"--threads {session.threads}: more than the cores of Ray's cluster. Give fewer.")
        count = min(workers or room, room, len(todo))
        gpus = 1 if session.device.type == "cuda" else 0
        remote = ray.remote(num_cpus=session.threads, num_gpus=gpus)(_Worker)
        actors = [remote.remote(same, writer, root.resolve(), process_tag(shard, k)) for k in range(count)]
        pool = ActorPool(actors)
        for made in pool.map_unordered(lambda actor, index: actor.make.remote(index), list(todo)):
            yield made[0], made[1], made[2]
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, MedidiffError) else error from None
    except RayActorError as error:
        raise DeviceError(
            "--engine ray: a worker was ended from outside, most likely for memory. Run the same command with fewer "
            "--workers: it goes on where it stopped."
        ) from error
    finally:
        if started:
            ray.shutdown()


class _Worker:
    """In a process of Ray's: the same function as in a local job."""

    def __init__(self, request: SetRequest, writer: Writer, root: Path, tag: str) -> None:
        self.request, self.writer, self.root = request, writer, root
        self.maker = request.maker()
        here = request.settings(self.maker)
        if here != writer.settings:
            differs = sorted(key for key in here if here[key] != writer.settings.get(key))
            raise UsageError(f"--engine ray: a worker's machine differs in {', '.join(differs)}. Use machines alike.")
        self.staging = Dataset(root, {}).staging(tag)

    def make(self, index: int) -> tuple[dict[str, Any], float, int]:
        """One sample."""
        return make_one(self.request, self.maker, self.writer, index, self.root, self.staging)


__all__ = ["made_by_ray"]
