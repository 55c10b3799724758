"""Reading pictures on a Ray cluster of this machine, by the number of its worker processes.

python benchmarks/cluster.py FOLDER [--pictures 256] [--workers 1,2] [--rounds 3]

FOLDER are real pictures. What the driver does is measured by its processor time, which is what
bounds a cluster of any size: it alone commits.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import visita

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from cluster import cluster


def main() -> None:
    """Print one row a number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with _copied(options.folder, options.pictures) as folder:
        print("| workers | pictures / s, each round | driver, processor ms a picture |")
        print("|---:|---|---:|")
        for workers in map(int, options.workers.split(",")):
            with cluster(workers) as address, _joined(address):
                rounds = [_measured(folder) for _ in range(options.rounds + 1)][1:]
            rates = ", ".join(f"{options.pictures / wall:.1f}" for wall, _ in rounds)
            own = min(own for _, own in rounds) / options.pictures * 1000
            print(f"| {workers} | {rates} | {own:.1f} |", flush=True)


@contextmanager
def _copied(folder: Path, count: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        for path in sorted(folder.glob("*.jpg"))[:count]:
            shutil.copy(path, place)
        yield Path(place)


@contextmanager
def _joined(address: str) -> Iterator[None]:
    import ray  # noqa: PLC0415  an extra

    ray.init(address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def _measured(folder: Path) -> tuple[float, float]:
    """Return seconds of a whole sync on warm workers, and of this process's processor time."""
    with tempfile.TemporaryDirectory() as home:
        gallery = visita.Gallery.open(folder, home=home)
        wall, own = time.perf_counter(), time.process_time()
        gallery.sync(ray=True)
        return time.perf_counter() - wall, time.process_time() - own


if __name__ == "__main__":
    main()
