"""A program that fills a store or a gallery, and what kills it half-way and looks at the rest.

python tests/killing.py store HOME PICTURES     features of all pictures, by file name
python tests/killing.py gallery HOME PICTURES   a gallery in step with its folder, as a large one

It prints the number of pictures that it believes to be on disk whenever that grows. With
``--real`` at the end, visita's own encoder is used instead of the small one.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from large import as_large
from standin import ColourMeans, LinearMatcher

from visita.encoders.contract import PictureEncoder
from visita.gallery.engines import ExactIndex
from visita.gallery.gallery import StoredGallery
from visita.gallery.packing import as_kept
from visita.progress import Advance
from visita.store.store import FeatureStore
from visita.types import FloatArray, Recipe

Rows = Mapping[str, FloatArray]
"""A row of numbers by name, for each picture or each column."""

VECTOR = "vector"


@dataclass(frozen=True)
class Outcome:
    """What a killed program had acknowledged, what it left, and what it became.

    ``right``: all rows that were found are what the pictures give, and those acknowledged
    are among them. ``resumed``: run again, it holds exactly what it would without a kill.
    """

    acknowledged: int
    found: int
    right: bool
    resumed: bool


def make_encoder(real: bool) -> PictureEncoder:
    """Return visita's encoder with one level, or the small one."""
    if not real:
        return ColourMeans()
    from visita.store.pictures import RecipeEncoder  # noqa: PLC0415  heavy

    return RecipeEncoder(Recipe({"efficientnet-lite0": ("head:avg",)}))


def extract(home: Path, pictures: Path, encoder: PictureEncoder) -> None:
    """Store the features of all pictures by file name, going on where an earlier run ended."""
    with FeatureStore.open_or_create(home / "store", encoder.columns(), encoder.facts()) as store:
        todo = [(p.name, p) for p in sorted(pictures.iterdir()) if p.name not in store]
        for batch in encoder.encode(todo):
            store.append(batch.keys, batch.columns, batch.skipped)
            print(len(store), flush=True)


def synchronize(home: Path, pictures: Path, encoder: PictureEncoder) -> None:
    """Bring the gallery of ``pictures`` in step."""
    gallery = StoredGallery.open(pictures, home=home)
    with as_large():
        gallery.sync(LinearMatcher(encoder.recipe), encoder, progress=printing)


@contextmanager
def printing(_label: str, _total: int) -> Iterator[Advance]:
    """Print how many are done, whenever that grows; a ``ProgressBar``."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        print(done, flush=True)

    yield advance


def stored(kind: str, home: Path, pictures: Path, encoder: PictureEncoder) -> dict[str, Rows]:
    """Read back every picture's row of each column, or its vector, by file name."""
    if kind == "store":
        store = FeatureStore.open(home / "store", encoder.facts())
        return {
            name: {column: store.column(column)[store.rows([name])[0]] for column in store.columns}
            for name in store.ids
        }
    gallery = StoredGallery.open(pictures, home=home)
    with as_large():
        snapshot = gallery.snapshot(LinearMatcher(encoder.recipe).fingerprint())
        found, _ = snapshot.index.search(snapshot.vectors, 3)
    best, _ = ExactIndex(snapshot.vectors).search(snapshot.vectors, 3)
    assert np.array_equal(found, best), "what is nearest is not found"
    names = [Path(path).name for path in snapshot.paths]
    return {name: {VECTOR: row} for name, row in zip(names, snapshot.vectors, strict=True)}


def expected(kind: str, pictures: Path, encoder: PictureEncoder) -> dict[str, Rows]:
    """Compute the same without any store, gallery or interruption."""
    rows: dict[str, Rows] = {}
    for batch in encoder.encode([(p.name, p) for p in sorted(pictures.iterdir())]):
        columns: Rows = batch.columns
        if kind == "gallery":
            columns = {VECTOR: LinearMatcher(encoder.recipe).embed_images(as_kept(columns))}
        for i, key in enumerate(batch.keys):
            rows[key] = {name: column[i] for name, column in columns.items()}
    return rows


def kill_once(
    kind: str,
    home: Path,
    pictures: Path,
    truth: dict[str, Rows],
    *,
    after: int,
    delay: float = 0.0,
    real: bool = False,
) -> Outcome:
    """Run the program, kill it, look at what is there, and run it again.

    It is killed ``delay`` seconds after it printed ``after`` lines.
    """
    command = [sys.executable, __file__, kind, str(home), str(pictures), *["--real"] * real]
    lines = killed(command, after, delay)
    encoder = make_encoder(real)
    found = stored(kind, home, pictures, encoder)
    right = len(found) >= lines[-1] and all(same(row, truth[name]) for name, row in found.items())
    with redirect_stdout(StringIO()):
        PROGRAMS[kind](home, pictures, encoder)
    again = stored(kind, home, pictures, encoder)
    resumed = list(again) == list(truth) and all(same(again[name], truth[name]) for name in truth)
    return Outcome(lines[-1], len(found), right, resumed)


def killed(command: list[str], after: int, delay: float) -> list[int]:
    """Return what a program had printed until it was killed, ``delay`` after some lines."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as child:
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(after)]
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        lines += [line for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed"
    return [int(line) for line in lines]


def same(row: Rows, other: Rows) -> bool:
    """Tell whether all columns agree but for rounding, which may depend on the batch."""
    return row.keys() == other.keys() and all(
        np.allclose(row[name], other[name], rtol=1e-4, atol=1e-4) for name in row
    )


PROGRAMS = {"store": extract, "gallery": synchronize}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](
        Path(sys.argv[2]), Path(sys.argv[3]), make_encoder("--real" in sys.argv[4:])
    )
