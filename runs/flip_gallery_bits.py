"""Flip bits of every kind of file that a gallery keeps: no result may change, none may refuse.

python runs/flip_gallery_bits.py --out docs/results/gallery-bits.md [--bits 2000] [--small 1100]

Every bit of a file of at most ``--small`` bytes is flipped, one at a time, and ``--bits`` random
ones of a larger one. After each, the galleries are listed and the gallery is searched: what is
found has to be that of before, and what is verified next has to be sound or made so by another
search. The gallery is of drawn pictures and a small encoder, and counts as a large one: it has
checkpoints, lists of its vectors, and a table.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from large import as_large
from standin import ColourMeans, LinearMatcher, draw_noise, of_vector

from visita.gallery.filter import Filter
from visita.gallery.gallery import StoredGallery
from visita.gallery.listing import galleries
from visita.gallery.mentions import Fields
from visita.gallery.snapshot import Snapshot
from visita.gallery.upkeep import verify_gallery
from visita.search.search import search
from visita.vectors import unit

PICTURES = 8
KINDS: tuple[Literal["text", "picture"], ...] = ("text", "picture")
HEAD = """| file | bits | flipped | other results | errors | not mended |
|---|---:|---:|---:|---:|---:|"""


class Kept:
    """A gallery in step, a copy of it to go back to, and the vectors that it has to give."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder, self.copy = root / "home", root / "pictures", root / "copy"
        for number in range(PICTURES):
            draw_noise(self.folder / f"{number}.png", number)
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)
        self.gallery = StoredGallery.open(self.folder, home=self.home)
        self.gallery.sync(self.matcher, self.encoder)
        self.truth = self.found()
        shutil.copytree(self.gallery.path, self.copy)

    @property
    def snapshot(self) -> Snapshot:
        """What there is to be searched."""
        return self.gallery.snapshot(self.matcher.fingerprint())

    def passing(self, where: Filter) -> Snapshot:
        """Return what passes a filter."""
        return self.gallery.passing(self.snapshot, where)

    def mentions(self, snapshot: Snapshot, words: Iterable[str]) -> Mapping[int, Fields]:
        """Return which pictures some words were read in: none."""
        return self.gallery.mentions(snapshot, words)

    def mend(self) -> None:
        """Do what a search does that comes upon damage."""
        self.gallery.refresh(self.matcher, self.encoder, whole=True)

    def found(self) -> list[Any]:
        """Search, and return what is found: what is nearest and how near, what passes a filter."""
        self.gallery.refresh(self.matcher, self.encoder)
        nearest = [
            search(of_vector(vector, self.matcher, kind), [self], k)
            for vector in unit(np.eye(3, self.matcher.dim, dtype=np.float32) - 0.1)
            for kind in KINDS
            for k in (2, PICTURES)
        ]
        passing = self.passing(Filter(where="width = 16"))
        found = [[(match.path, round(match.score, 5)) for match in some] for some in nearest]
        return [*found, list(self.snapshot.paths), list(passing.paths)]

    def files(self) -> list[Path]:
        """Return the files that are kept, relative to the gallery."""
        found = (path.relative_to(self.copy) for path in self.copy.rglob("*") if path.is_file())
        return sorted(path for path in found if not path.name.startswith("."))

    def flipped(self, file: Path, bit: int) -> str:
        """Flip a bit, search, and return what was wrong with that, or nothing; then go back."""
        content = bytearray((self.copy / file).read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        (self.gallery.path / file).write_bytes(content)
        try:
            galleries(self.home)
            if self.found() != self.truth:
                return "other results"
            if verify_gallery(self.gallery.path).damaged:
                self.found()
            whole = self.found() == self.truth and not verify_gallery(self.gallery.path).damaged
            return "" if whole else "not mended"
        except Exception:
            traceback.print_exc(file=sys.__stderr__)
            return "errors"
        finally:
            shutil.rmtree(self.gallery.path)
            shutil.copytree(self.copy, self.gallery.path)


def main() -> None:
    """Write a Markdown table; exit status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bits", type=int, default=2000, help="of each larger file")
    parser.add_argument("--small", type=int, default=1100, help="bytes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    lines, bad = [HEAD], 0
    with tempfile.TemporaryDirectory() as folder, as_large():
        kept = Kept(Path(folder))
        for file in kept.files():
            total = 8 * (kept.copy / file).stat().st_size
            small = total <= 8 * options.small or total <= options.bits
            bits = range(total) if small else rng.choice(total, options.bits, replace=False)
            with redirect_stderr(StringIO()):
                wrong = Counter(kept.flipped(file, int(bit)) for bit in bits)
            bad += len(bits) - wrong[""]
            faults = " | ".join(str(wrong[f]) for f in ("other results", "errors", "not mended"))
            name = "/".join(part.split("-")[0] for part in file.parts[:-1]) + f"/{file.name}"
            lines.append(f"| {name.lstrip('/')} | {total:,} | {len(bits):,} | {faults} |")
            print(lines[-1], flush=True)
    words = f"--bits {options.bits} --small {options.small} --seed {options.seed}"
    title = f"# Flipped bits in the files of a gallery of {PICTURES} pictures"
    command = f"`python runs/flip_gallery_bits.py {words}`"
    options.out.write_text("\n".join([title, "", command, "", *lines]) + "\n", "utf-8")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
