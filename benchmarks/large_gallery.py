"""What a gallery of very many pictures costs to open, to search and to keep in step.

python benchmarks/large_gallery.py VECTORS.npy --home FOLDER [--queries 200] [--rows 100000]

VECTORS are float32 (n, 512), such as runs/vector_engines.py makes. The gallery has a row and a file
without content for each, 1,000 a folder; ten of them become pictures. Times are of the processor.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import visita
from visita.gallery.captions import captions
from visita.gallery.catalog import INDEX, Catalog
from visita.gallery.columns import VECTOR
from visita.gallery.entries import Entry
from visita.gallery.gallery import StoredGallery
from visita.gallery.inverted import neighbours
from visita.gallery.inverted_files import keep_inverted
from visita.gallery.listing import write_card
from visita.gallery.metadata import METADATA, VERSION
from visita.gallery.stores import made_by_of, vectors_folder
from visita.search.search import nearest
from visita.store.journal import write_lines
from visita.store.pictures import RecipeEncoder
from visita.store.store import FeatureStore

BLOCK = 10_000
PASSING = (1.0, 0.5, 0.1, 0.01)
K = 10


def main() -> None:
    """Make the gallery, unless it is there, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rows", type=int, help="how many of the vectors, unless all")
    parser.add_argument("--cold", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.home / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    gallery = StoredGallery.open(folder, home=options.home)
    if options.cold:
        print(json.dumps(cold(gallery)))
        return
    matcher = visita.load("visita-small")
    if not gallery.path.exists():
        vectors = np.load(options.vectors, mmap_mode="r")[: options.rows]
        made, listed = make(gallery, vectors, matcher)
        print(f"made in {made:.0f} s, put into lists in {listed:.0f} s of the processor")
    command = [__file__, options.vectors, "--home", options.home, "--cold"]
    for part, value in json.loads(in_a_process(*command)[1]).items():
        print(f"{part}: {value:.2f}")
    for part, seconds in in_step(folder, options.home):
        print(f"{part}, s: {seconds:.2f}")
    print("| passing | recall@10 | first ms | p50 ms | p99 ms |\n|--:|--:|--:|--:|--:|")
    for row in searches(gallery, matcher, options.queries):
        print(row)


def make(gallery: StoredGallery, vectors: Any, matcher: Any) -> tuple[float, float]:
    """Write a gallery with these vectors; return the seconds of that and of its lists."""
    start = time.process_time()
    gallery.path.mkdir(parents=True)
    write_card(gallery.path, gallery.folder)
    write_lines(gallery.path / INDEX, lines(gallery.folder, len(vectors)))
    write_lines(gallery.path / METADATA, described(len(vectors)))
    place = vectors_folder(gallery.path, matcher.fingerprint())
    facts = {"features": made_by_of(RecipeEncoder(matcher.recipe))}
    with FeatureStore.create(place, {VECTOR: vectors.shape[1]}, facts) as store:
        for at in range(0, len(vectors), BLOCK):
            part = np.array(vectors[at : at + BLOCK])
            store.append([digest(row) for row in range(at, at + len(part))], {VECTOR: part})
        made = time.process_time()
        keep_inverted(gallery.path, store, matcher)
        store.checkpoint()
    Catalog(gallery.path).checkpoint()
    return made - start, time.process_time() - made


def digest(row: int) -> str:
    """Return what stands for the content of a picture, 64 hex digits."""
    return f"{row * 2654435761 % 2**64:064x}"


def lines(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """Make so many files, and yield the lines of their catalogue."""
    for at in range(0, count, 1000):
        files = []
        (folder / f"{at // 1000:04d}").mkdir(exist_ok=True)
        for row in range(at, min(at + 1000, count)):
            path = f"{at // 1000:04d}/{row:07d}.jpg"
            (folder / path).touch()
            found = (folder / path).stat()
            entry = Entry(0, found.st_mtime_ns, found.st_ino, digest(row), described=VERSION)
            files.append([path, *entry])
        yield {"files": files, "removed": []}


def described(count: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of what is written in so many pictures: nothing."""
    for at in range(0, count, 1000):
        yield {"metadata": {digest(row): [{}] for row in range(at, min(at + 1000, count))}}


def in_step(folder: Path, home: Path) -> Iterator[tuple[str, float]]:
    """Yield what commands cost by which a gallery is brought in step, each a process."""
    index = ("-m", "visita", "index", folder, "--gallery", home)
    yield "visita index the first time, for the table", in_a_process(*index)[0]
    yield "visita index, nothing changed", in_a_process(*index)[0]
    rng = np.random.default_rng(time.time_ns())
    for row in range(10):
        pixels = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"0000/{row:07d}.jpg")
    yield "visita index, ten changed", in_a_process(*index)[0]
    search = ("-m", "visita", "search", "a dog on a beach", folder, "--gallery", home)
    yield "visita search, with a look at all files", in_a_process(*search)[0]


def in_a_process(*arguments: object) -> tuple[float, str]:
    """Return the seconds of the processor that Python takes, and what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def cold(gallery: StoredGallery) -> dict[str, float]:
    """Return what the first search of a process costs, its parts one after the other."""
    imported = time.process_time()
    finder = visita.Finder("visita-small")
    vector = finder.query("a dog on a beach").pooled()
    read = time.process_time()
    snapshot = gallery.snapshot(finder.matcher.fingerprint())
    opened = time.process_time()
    nearest([snapshot], vector, K)
    found = time.process_time()
    pages = memory()
    return {
        "starting, s": imported,
        "reading the query, s": read - imported,
        "opening the gallery, s": opened - read,
        "first search, s": found - opened,
        "anonymous memory, MB": pages["Anonymous"] / 1e3,
        "mapped pages, MB": (pages["Rss"] - pages["Anonymous"]) / 1e3,
    }


def searches(gallery: StoredGallery, matcher: Any, count: int) -> Iterator[str]:
    """Yield a line for each share of the pictures that pass a filter."""
    snapshot = gallery.snapshot(matcher.fingerprint())
    queries = matcher.embed_texts(matcher.open_text_encoder().encode(captions(count, seed=1)))
    for share in PASSING:
        rows = np.flatnonzero(np.random.default_rng(0).random(len(snapshot)) < share)
        some = snapshot.only(rows.tolist(), [None] * len(rows))
        seconds, hits = [], 0.0
        best = neighbours(some.taken, queries, K)
        for query, true in zip(queries, best, strict=True):
            start = time.process_time()
            found = {hit.path for hit in nearest([some], query, K)}
            seconds.append(time.process_time() - start)
            hits += len(found & {some.paths[row] for row in true}) / K / count
        times = 1e3 * np.array([seconds[0], *np.quantile(seconds[1:], (0.5, 0.99))])
        yield f"| {share:.0%} | {hits:.3f} | {' | '.join(f'{time:.2f}' for time in times)} |"


def memory() -> dict[str, int]:
    """Return the kilobytes of this process that are in memory, and of those the anonymous."""
    words = (
        line.split() for line in Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines()[1:]
    )
    return {name.rstrip(":"): int(size) for name, size, *_ in words}


if __name__ == "__main__":
    main()
