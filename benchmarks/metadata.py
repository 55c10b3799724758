"""What it costs to keep what is written about pictures, in CPU seconds.

python benchmarks/metadata.py FOLDER [--pictures 500] [--rows 10000,100000]

First the share of it in a first sync of some of a folder's pictures; then, without pictures, what
a table of so many rows takes: made, brought in step after ten changes, opened and filtered.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import visita
from visita.gallery import attempt, sync, table
from visita.gallery.catalog import Catalog
from visita.gallery.entries import Entry
from visita.gallery.filter import Filter
from visita.gallery.metadata import METADATA, MetadataFile
from visita.store.lock import WriterLock

FILTERS = {
    "one day": Filter(since="2015-06-01", until="2015-06-01"),
    "half of all": Filter(since="2010"),
    "near": Filter(near=(48.0, 2.0, 50)),
    "tag": Filter(tag="beach"),
    "words": Filter(text="sunset harbour"),
    "SQL": Filter(where="width > height AND camera LIKE '%r5%'"),
}
WORDS = ("dog", "beach", "sunset", "harbour", "mountain", "child", "street", "market", "snow")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--rows", default="10000,100000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        share_of_sync(options.folder, options.pictures, Path(scratch))
    for count in map(int, options.rows.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            at_scale(count, Path(scratch))


def share_of_sync(folder: Path, count: int, scratch: Path) -> None:
    """Print how much of a first sync goes into metadata."""
    pictures = scratch / "pictures"
    pictures.mkdir()
    for path in sorted(folder.iterdir())[:count]:
        shutil.copy(path, pictures)
    spent = [0.0]
    sync.describe = timed(sync.describe, spent)
    MetadataFile.add = timed(MetadataFile.add, spent)  # type: ignore[method-assign]
    attempt.table.write_table = timed(table.write_table, spent)
    gallery = visita.Gallery.open(pictures, home=scratch / "home")
    gallery.finder.pictures.encode_pictures([next(pictures.iterdir())])  # makes the network
    start = time.process_time()
    gallery.sync()
    whole = time.process_time() - start
    print(
        f"first sync of {count}: {whole:.1f} s, metadata {spent[0]:.2f} s, {spent[0] / whole:.1%}"
    )


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return a function that adds the CPU seconds of its thread to ``spent``."""

    def run(*parts: Any, **options: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*parts, **options)
        finally:
            spent[0] += time.thread_time() - start

    return run


def at_scale(count: int, place: Path) -> None:
    """Print what a table of ``count`` rows takes, and its size beside that of the journal."""
    lock = WriterLock(place)
    lock.acquire()
    rng = np.random.default_rng(0)
    metadata, catalog = MetadataFile(place), Catalog(place)
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        entries = {path(n): Entry(10**6, n * 10**9, n, f"{n:064x}", described="1") for n in numbers}
        metadata.add({entry.digest: [said(rng)] for entry in entries.values()}, lock)
        catalog.update(entries, (), lock)
    taken = {"made": cpu(lambda: table.write_table(place, catalog.entries, lock))}
    metadata.add({f"{count + n:064x}": [said(rng)] for n in range(10)}, lock)
    changes = {path(n): Entry(1, 1, n, f"{count + n:064x}", described="1") for n in range(10)}
    catalog.update(changes, (), lock)
    taken["ten changed"] = cpu(lambda: table.write_table(place, catalog.entries, lock))
    lock.release()
    sizes = [sum(p.stat().st_size for p in place.glob(n)) for n in (METADATA, "table-*")]
    print(f"\n{count:,} rows: {sizes[0] / count:.0f} bytes each in the journal, ", end="")
    print(f"{sizes[1] / count:.0f} in the table")
    for name, where in FILTERS.items():
        passed: list[int] = []
        taken[name] = cpu(lambda w=where, p=passed: p.append(filtered(place, w)))
        name_and_count = f"{name} ({passed[0]:,})"
        taken[name_and_count] = taken.pop(name)
    print("\n".join(f"  {name:24} {seconds:8.3f} s" for name, seconds in taken.items()))


def filtered(place: Path, where: Filter) -> int:
    """Open the table, as each process does, and return how many rows pass."""
    with table.open_table(place) as connection:
        return len(where.passing(connection, place))


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def path(number: int) -> str:
    """Return a path as in an archive by year."""
    return f"{2000 + number % 25}/event {number // 300:05d}/IMG_{number:08d}.jpg"


def said(rng: np.random.Generator) -> dict[str, Any]:
    """Return what is written about a picture."""
    year, month, day = rng.integers([2000, 1, 1], [2025, 13, 29]).tolist()
    words = rng.choice(WORDS, 3).tolist()
    tagged = {"keywords": words, "caption": f"a {words[0]} and a {words[1]}"}
    return {
        "date": f"{year}-{month:02d}-{day:02d}T12:00:00",
        "camera": f"Canon EOS R{rng.integers(3, 9)}",
        "lens": "RF24-105mm F4 L IS USM",
        "latitude": round(float(rng.uniform(-60, 70)), 6),
        "longitude": round(float(rng.uniform(-180, 180)), 6),
        "width": 6000,
        "height": 4000,
        **(tagged if rng.random() < 0.3 else {}),
    }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
