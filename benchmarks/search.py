"""How long a search takes: as a command of its own, and inside a process that stays.

python benchmarks/search.py FOLDER [--queries 50] [--matcher NAME|FOLDER] [--rounds 5]

New pictures of FOLDER are read first, into the galleries below $VISITA_HOME.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from visita.matchers import DEFAULT
from visita.matchers.rerank import DEPTH
from visita.search.galleries import Gallery
from visita.search.query import Query
from visita.search.search import nearest, rerank

SUBJECTS = ("a dog", "two children", "a man on a bicycle", "a red car", "a bird", "a woman")
PLACES = ("on a beach", "in the snow", "at night", "on a busy street", "in the grass")
VIEWS = ("", "seen from afar", "running", "with a ball")
QUERIES = [" ".join(words).strip() for words in product(SUBJECTS, PLACES, VIEWS)]
FLOOR = "reading the vectors once (numpy sum)"
K = 10


def main() -> None:
    """Print the table of cold processes and the table of one query's parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=50, help=f"at most {len(QUERIES)}")
    parser.add_argument("--matcher", default=DEFAULT)
    parser.add_argument("--rounds", type=int, default=5, help="cold processes of each kind")
    options = parser.parse_args()
    folder, matcher = options.folder, options.matcher
    commands = {
        "visita --version": ("--version",),
        "visita search": ("search", QUERIES[0], str(folder), "--matcher", matcher),
    }
    run(commands["visita search"])  # reads new pictures, makes graphs where there are none
    cold = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            cold[name].append(run(command))
    print("| cold process | s | / --version | peak MB |\n|---|--:|--:|--:|")
    floor = np.array(cold["visita --version"])
    for name, measured in cold.items():
        seconds, peak = np.median(measured, axis=0)
        ratio = np.median(np.array(measured)[:, 0] / floor[:, 0])
        print(f"| {name} | {seconds:.2f} | {ratio:.1f} | {peak:.0f} |")

    gallery = Gallery.open(folder, matcher=matcher)
    parts = measure(gallery, QUERIES[:: len(QUERIES) // options.queries][: options.queries])
    vectors = gallery.snapshot.vectors
    print(
        f"\n{len(vectors)} pictures, vectors of {vectors.nbytes / 1e6:.1f} MB\n\n"
        "| part of a query | ms | fastest | slowest of 20 |\n|---|--:|--:|--:|"
    )
    for part, seconds in parts.items():
        median, least, slow = np.quantile(seconds, (0.5, 0, 0.95)) * 1e3
        print(f"| {part} | {median:.3f} | {least:.3f} | {slow:.3f} |")
    searching, reading = parts["exact search"], parts[FLOOR]
    print(
        f"\nexact search / reading the vectors once: median {np.median(searching / reading):.2f}, "
        f"of the fastest {searching.min() / reading.min():.2f}"
    )


def run(arguments: Sequence[str]) -> tuple[float, float]:
    """Return the wall seconds and the peak memory in MB of one ``visita`` process."""
    command = [str(Path(sys.executable).with_name("visita")), *arguments]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e6


def measure(gallery: Gallery, queries: Sequence[str]) -> dict[str, Any]:
    """Return the seconds of each part of each query, and of reading the vectors once.

    The second stage's are with those of a search for the pictures that it looks at.
    """
    finder, snapshot = gallery.finder, gallery.snapshot
    parts: dict[str, list[float]] = {}

    def second_stage(query: Query) -> None:
        rerank(query, nearest([snapshot], query.pooled(), DEPTH), DEPTH)

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        parts.setdefault(part, []).append(time.perf_counter() - start)
        return result

    def query(text: str) -> None:
        features = timed("text encoding", lambda: finder.texts.encode([text]))
        vector = timed("vector", lambda: finder.matcher.embed_texts(features))
        _, scores = timed("exact search", lambda: snapshot.index.search(vector, K))
        timed("probability", lambda: finder.matcher.probability(scores[0], len(snapshot)))
        if finder.matcher.reranker:
            made = Query.from_texts([text], finder.texts, finder.matcher)
            timed(f"second stage, {DEPTH} pictures", lambda: second_stage(made))
        timed("all of it (Gallery.search)", lambda: gallery.search(text, K))
        timed(FLOOR, snapshot.vectors.sum)

    query(queries[0])  # loads the networks
    parts.clear()
    for text in queries:
        query(text)
    return {part: np.array(seconds) for part, seconds in parts.items()}


if __name__ == "__main__":
    main()
