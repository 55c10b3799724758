"""A Ray cluster of two worker processes, and encoders that end them.

python tests/cluster.py ADDRESS HOME PICTURES   a gallery in step with its folder, read there

It prints the number of pictures that are on disk whenever that grows.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE

import watching
from killing import printing
from standin import ColourMeans, LinearMatcher

from visita.gallery.gallery import StoredGallery
from visita.gallery.on_ray import read_on_ray
from visita.types import FloatArray

BATCH = 64


class Deadly(ColourMeans):
    """Ends the process that encodes one picture, the first ``times`` it is tried."""

    def __init__(self, picture: str, times: int, notes: Path) -> None:
        super().__init__(batch=BATCH)
        self.picture, self.times, self.notes = picture, times, notes

    def features(self, path: Path) -> dict[str, FloatArray]:
        tried = self.notes / f"{os.getpid()}"
        if path.name == self.picture and len(list(self.notes.iterdir())) < self.times:
            tried.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().features(path)


HEAD = """
import os, sys, ray
cores, folder = int(sys.argv[1]), sys.argv[2]
options = dict(include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
began = ray.init(num_cpus=cores, object_store_memory=2**27, _temp_dir=folder, **options)
print("at", began.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
"""Ray as it starts for one driver, as ``ray start`` tells its makers even where that is off."""


@contextmanager
def cluster(cores: int = 2) -> Iterator[str]:
    """Start a cluster on this machine, which ends with the block, and yield its address."""
    folder = tempfile.mkdtemp(prefix="ray-")  # the names of its sockets have to be short
    # Ray asks for the address of this machine, which those who watch would note.
    paths = [str(Path(__file__).parent), *(path for path in sys.path if path != watching.WATCHED)]
    kept = {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
    }
    command = [sys.executable, "-c", HEAD, str(cores), folder]
    with subprocess.Popen(
        command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        encoding="utf-8",
        env={**os.environ, **kept},
    ) as head:
        assert head.stdout
        try:
            yield next(line for line in head.stdout if line.startswith("at ")).split()[1]
        finally:
            head.communicate()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    os.environ["RAY_ADDRESS"] = sys.argv[1]
    encoder = ColourMeans(batch=BATCH)
    StoredGallery.open(sys.argv[3], home=sys.argv[2]).sync(
        LinearMatcher(encoder.recipe), encoder, progress=printing, read=read_on_ray
    )
