"""Reading pictures on the workers of a Ray cluster: that of ``RAY_ADDRESS``, or one started here.

A plain task reads a batch on one core and returns what it read; whoever asked commits the batches
in the order of the files, so the gallery is that of one process. Ray runs the batch of a worker
that died again. Ray Data would bring pandas and pyarrow, and keeps no order unless told to.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from visita.data.pictures import PictureFile
from visita.encoders.contract import PictureEncoder
from visita.encoders.engine import CORES
from visita.errors import ConfigError, MismatchError, extras_named, last_line
from visita.gallery.reading import Commit, Outcome, Part, read_here
from visita.gallery.stores import made_by_of
from visita.progress import say

BATCH = 64
"""Pictures a task, which is what the death of a worker costs."""
_AHEAD = 2
"""Batches under way for each core, so that none waits for the next."""
_FATAL = "ended every process that read it; it is tried again at the next sync"


def read_on_ray(
    files: Mapping[str, PictureFile],
    paths: Iterable[str],
    encoder: PictureEncoder,
    known: Collection[str],
    commit: Commit,
) -> None:
    """Read files on a Ray cluster, which sees them by the same paths; a ``Reading``.

    Raises
    ------
    MissingExtraError
        If ray is not installed.
    ConfigError
        If the cluster cannot be joined.
    MismatchError
        If a worker's machine computes other features than this one.
    """
    with extras_named("reading on a Ray cluster"):
        import ray  # noqa: PLC0415  an extra
    pickled: Any = ray.cloudpickle.dumps
    with _joined(ray):
        job = _Job(pickled(encoder), made_by_of(encoder))
        cluster = _Cluster(ray, job, ray.put(Digests(known)), files)
        for part in cluster.parts(paths):
            commit(part)


@contextmanager
def _joined(ray: Any) -> Iterator[None]:
    """Be part of the cluster, for as long as the block runs unless the caller was already."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"The Ray cluster cannot be joined: {last_line(error)}. Start one with "
            "'ray start --head', and name it by RAY_ADDRESS."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class Digests:
    """Digests in order, 32 bytes each, in memory that the workers of a machine share."""

    def __init__(self, digests: Iterable[str]) -> None:
        self._sorted = np.sort(np.frombuffer(bytes.fromhex("".join(digests)), "S32"))

    def __contains__(self, digest: object) -> bool:
        key = np.frombuffer(bytes.fromhex(str(digest)), "S32")[0]
        row = int(np.searchsorted(self._sorted, key))
        return row < len(self._sorted) and self._sorted[row] == key


@dataclass(frozen=True)
class _Job:
    """What all tasks of one sync have in common: the encoder, pickled, and what it is known by."""

    encoder: bytes
    made_by: str


class _Cluster:
    def __init__(self, ray: Any, job: _Job, known: Any, files: Mapping[str, PictureFile]) -> None:
        self._ray = ray
        self._files = files
        task = ray.remote(num_cpus=1, max_retries=1)(_read_batch)
        self._send: Callable[[Sequence[str]], Any] = lambda paths: task.remote(
            {path: files[path] for path in paths}, job, known
        )

    def parts(self, paths: Iterable[str]) -> Iterator[Part]:
        """Yield what was read, in the order of the paths."""
        source, waiting = iter(paths), deque[tuple[list[str], Any]]()
        say(f"reading on {self._cores():,} cores of a Ray cluster")
        while batch := list(islice(source, BATCH)):
            waiting.append((batch, self._send(batch)))
            if len(waiting) > _AHEAD * self._cores():
                yield from self._result(*waiting.popleft())
        while waiting:
            yield from self._result(*waiting.popleft())

    def _cores(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _result(self, paths: Sequence[str], reference: Any) -> Iterable[Part]:
        """Return what a task read; where it ends every worker, find the file that does so."""
        faults = self._ray.exceptions
        try:
            parts: list[Part] = self._ray.get(reference)
        except faults.RayTaskError as error:
            raise error.cause from None
        except (faults.WorkerCrashedError, faults.OutOfMemoryError):
            if len(paths) == 1:
                return [Part(outcomes=[Outcome(paths[0], passing=_FATAL)])]
            alone = [([path], self._send([path])) for path in paths]
            return (part for each in alone for part in self._result(*each))
        return parts


def _read_batch(files: Mapping[str, PictureFile], job: _Job, known: Digests) -> list[Part]:
    """Read files in a worker's process, on the one core that a task has."""
    os.environ.setdefault(CORES, "1")
    parts: list[Part] = []
    read_here(files, files, _unpacked(job), known, parts.append)
    return parts


@lru_cache(1)
def _unpacked(job: _Job) -> PictureEncoder:
    """Return the encoder of a job, whose networks are loaded once a process."""
    from ray import cloudpickle  # noqa: PLC0415  an extra

    encoder: PictureEncoder = cloudpickle.loads(job.encoder)
    if made_by_of(encoder) != job.made_by:
        raise MismatchError(
            f"The machine {socket.gethostname()} computes other features than this one: install "
            "the same visita on both, and set VISITA_PRECISION=float32 where only one has int8."
        )
    return encoder
