"""How much of a cold search goes into checking that a gallery is as it was written.

python benchmarks/checksums.py [--pictures 7000] [--matcher NAME|FOLDER] [--rounds 5]

The gallery is made of pictures drawn at random, with random features: the cost depends on
neither. Both times are of one process, so that a busy machine lengthens both.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import visita
from visita.durable import make_folder
from visita.gallery.gallery import StoredGallery
from visita.gallery.stores import open_stores
from visita.store.pictures import RecipeEncoder
from visita.types import Matcher

BLOCK = 500
SEARCH = """
import sys, time
from visita.store.store import FeatureStore
spent, plain = 0.0, FeatureStore.damaged
def timed(*arguments, **options):
    global spent
    start = time.perf_counter()
    found = plain(*arguments, **options)
    spent += time.perf_counter() - start
    return found
FeatureStore.damaged = timed
from visita.cli import main
try:
    main()
finally:
    print(spent, file=sys.stderr)
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=7000)
    parser.add_argument("--matcher", default="visita-small")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures, home = Path(folder, "pictures"), Path(folder, "home")
        fill(pictures, home, options.pictures, visita.load(options.matcher))
        words = ("search", "a dog on a beach", pictures, "--gallery", home)
        search(*words, "--matcher", options.matcher)  # brings the graphs, where there are none
        print("| cold search, s | checking, s | share |\n|--:|--:|--:|")
        rounds = [search(*words, "--matcher", options.matcher) for _ in range(options.rounds)]
    for wall, spent in rounds:
        print(f"| {wall:.2f} | {spent:.4f} | {spent / wall:.1%} |")
    print(f"median share {np.median([spent / wall for wall, spent in rounds]):.1%}")


def fill(pictures: Path, home: Path, count: int, matcher: Matcher) -> None:
    """Draw pictures and bring a gallery of them in step that has random features of each."""
    rng = np.random.default_rng(0)
    pictures.mkdir()
    digests = []
    for number in range(count):
        path = pictures / f"{number:05d}.png"
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    encoder = RecipeEncoder(matcher.recipe)
    gallery = StoredGallery.open(pictures, home=home)
    make_folder(gallery.path)
    with open_stores(gallery.path, matcher, encoder) as stores:
        for start in range(0, count, BLOCK):
            some = digests[start : start + BLOCK]
            shapes = {n: (d,) if isinstance(d, int) else d for n, d in encoder.columns().items()}
            columns = {n: rng.random((len(some), *s), np.float32) for n, s in shapes.items()}
            stores.add(some, columns)
    gallery.sync(matcher, encoder)


def search(*words: object) -> tuple[float, float]:
    """Return the wall seconds of one ``visita`` process, and those that went into checking."""
    start = time.perf_counter()
    command = [sys.executable, "-c", SEARCH, *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return time.perf_counter() - start, float(done.stderr.splitlines()[-1])


if __name__ == "__main__":
    main()
