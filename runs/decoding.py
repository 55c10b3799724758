"""What reading large pictures reduced costs in quality and saves in time, visita-small's vectors.

python runs/decoding.py [--matcher NAME] [--pictures N] [--out docs/results/decoding.md]

Pictures of Flickr8k's dev (224 x 224) and of coco80 (640 x 480), found through ``VISITA_DATA``,
are enlarged to photographs with the noise of a sensor, and each file is read whole and reduced.
The same matcher reads both, so the difference in rsum is of decoding alone; its interval is over
pictures. The times are of one core, decoding and preparing; the least of several rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import visita
from visita.data import PairSet, decode, open_pairs
from visita.evaluation import paired_retrieval, retrieval
from visita.vectors import unit

NOISE = 6.0
"""Standard deviation of what is added to each pixel of the enlarged picture, of 255."""
CASES = (
    ("flickr8k", "1,344 x 1,344", 6.0, "jpg"),
    ("coco80", "4,000 x 3,000", 6.25, "jpg"),
    ("coco80", "4,000 x 3,000", 6.25, "png"),
)
OPTIONS = {"jpg": {"quality": 90}, "png": {"compress_level": 1}}
AT_ONCE = 50
ROUNDS = 5
QUALITY = """| pictures | enlarged to | cosine, mean | least | rsum whole | reduced | difference |
|---|---|---:|---:|---:|---:|---:|"""
TIME = """| JPEG | whole, ms | never below 260, ms | never below 520, ms |
|---|---:|---:|---:|"""


def main() -> None:
    """Print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matcher", default="visita-small")
    parser.add_argument("--pictures", type=int, default=1000, help="of each case at most")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    finder = visita.Finder(options.matcher)
    lines = [f"# Large pictures read reduced ({options.matcher})", "", QUALITY]
    for case in CASES:
        lines.append(quality(finder, options.pictures, *case))
        print(lines[-1], flush=True)
    lines += ["", TIME, *times(finder)]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


def quality(
    finder: visita.Finder, most: int, name: str, size: str, factor: float, suffix: str
) -> str:
    """Return one row: how alike the vectors are, and what rsum is with each."""
    folder = Path(os.environ["VISITA_DATA"], name)
    pairs = open_pairs(f"{'coco' if name == 'coco80' else name}:{folder}")
    pairs = pairs if name == "coco80" else pairs.take("dev")
    pairs = pairs.subset(np.arange(min(most, len(pairs.image_paths))))
    whole, reduced = vectors(finder, pairs, factor, suffix)
    cosines = (unit(whole) * unit(reduced)).sum(axis=1)
    texts = finder.embed_texts(pairs.texts)
    a, b = (retrieval(images, texts, pairs.truth, seed=0) for images in (whole, reduced))
    change = paired_retrieval(a, b, seed=0)["rsum"]
    cells = [f"{len(whole):,} of {name}, {suffix.upper()}", size]
    cells += [f"{cosines.mean():.4f}", f"{cosines.min():.4f}"]
    cells += [f"{one.rsum.value:.1f}" for one in (a, b)]
    cells += [f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"]
    return f"| {' | '.join(cells)} |"


def vectors(
    finder: visita.Finder, pairs: PairSet, factor: float, suffix: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the vectors of the enlarged pictures, read whole and reduced."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(pairs.image_paths), AT_ONCE):
            files = []
            for row, path in enumerate(pairs.image_paths[start : start + AT_ONCE], start):
                files.append(Path(folder, f"{row}.{suffix}"))
                enlarged(decode(path), factor, row).save(files[-1], **OPTIONS[suffix])
            both = [[decode(file, reduced=way) for file in files] for way in (False, True)]
            found.append([finder.embed_pictures(some) for some in both])
            for file in files:
                file.unlink()
    return tuple(np.concatenate(some) for some in zip(*found, strict=True))


def enlarged(picture: Image.Image, factor: float, seed: int) -> Image.Image:
    """Return a photograph of the same scene: more pixels, each with some noise."""
    size = (round(picture.width * factor), round(picture.height * factor))
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(seed).standard_normal(pixels.shape, np.float32)
    return Image.fromarray((pixels + NOISE * noise).clip(0, 255).astype(np.uint8))


def times(finder: visita.Finder) -> list[str]:
    """Return the rows of the second table."""
    picture = decode(sorted(Path(os.environ["VISITA_DATA"], "coco80").rglob("*.jpg"))[0])
    prepare = finder.pictures._networks[0].encoder.prepare
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for label, factor in (("640 x 480", 1.0), ("12 megapixels", 6.25)):
            file = Path(folder, "picture.jpg")
            enlarged(picture, factor, 0).save(file, quality=90)
            ways: list[Callable[[], Image.Image]] = [
                lambda file=file: decode(file),
                lambda file=file: drafted(file, 260),
                lambda file=file: decode(file, reduced=True),
            ]
            least = [np.inf] * len(ways)
            for _ in range(ROUNDS):
                for n, way in enumerate(ways):
                    started = time.perf_counter()
                    prepare(way())
                    least[n] = min(least[n], time.perf_counter() - started)
            rows.append(f"| {label} | {' | '.join(f'{1000 * one:.1f}' for one in least)} |")
    return rows


def drafted(file: Path, side: int) -> Image.Image:
    """Return a JPEG reduced to ``side`` or more, as visita did before."""
    with Image.open(file) as picture:
        picture.draft("RGB", (side, side))
        return picture.convert("RGB")


if __name__ == "__main__":
    main()
