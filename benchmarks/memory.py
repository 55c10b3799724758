"""How much memory reading pictures takes, in a process of its own, by what the pictures are.

python benchmarks/memory.py [--cores 1 2] [--limit 1.0]

The graph is exported beforehand, so that only reading pictures is measured. *peak* is the most
resident memory of the process, *address space* the most it reserved. With ``--limit`` the
process gets so many GB of address space and no more (``ulimit -v``).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HEAD = """| pictures | cores | read | skipped | peak, MB | address space, MB | seconds |
|---|---:|---:|---:|---:|---:|---:|"""
CODE = """
import re, sys
from pathlib import Path
from visita.store.pictures import RecipeEncoder
from visita.types import Recipe
encoder = RecipeEncoder(Recipe({"efficientnet-lite2": ("head:avg",)}))
batches = list(encoder.encode((one.name, one) for one in sorted(Path(sys.argv[1]).iterdir())))
peaks = re.findall(r"Vm(?:HWM|Peak):\\s+(\\d+)", Path("/proc/self/status").read_text())
read = sum(len(one.keys) for one in batches)
print("measured", read, sum(len(one.skipped) for one in batches), *peaks)
"""


@dataclass(frozen=True)
class Kind:
    """So many pictures of one kind and size."""

    number: int
    size: tuple[int, int]
    suffix: str
    options: dict[str, object]
    flat: bool = False
    mode: str = "RGB"


KINDS = {
    "64 JPEGs of 640 x 480": Kind(64, (640, 480), ".jpg", {}),
    "16 JPEGs of 12 megapixels": Kind(16, (4000, 3000), ".jpg", {}),
    "16 JPEGs of 24 megapixels, progressive": Kind(16, (6000, 4000), ".jpg", {"progressive": True}),
    "16 WebPs of 24 megapixels": Kind(16, (6000, 4000), ".webp", {"method": 0}),
    "8 PNGs of 10,000 x 10,000": Kind(
        8, (10_000, 10_000), ".png", {"compress_level": 9}, flat=True, mode="RGBA"
    ),
    "2 JPEGs of 108 megapixels": Kind(2, (12_000, 9_000), ".jpg", {}),
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, nargs="+", default=[os.cpu_count()])
    parser.add_argument("--limit", type=float, help="GB of address space")
    options = parser.parse_args()
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        draw(KINDS["64 JPEGs of 640 x 480"], Path(folder, "first"))
        read(Path(folder, "first"), home, 1, None)
        for number, (name, kind) in enumerate(KINDS.items()):
            pictures = Path(folder, str(number))
            draw(kind, pictures)
            for cores in options.cores:
                row = read(pictures, home, cores, options.limit)
                print(f"| {name} | {cores} | {row} |", flush=True)
            discard(pictures)


def draw(kind: Kind, folder: Path) -> None:
    """Write the pictures: a coarse scene with the noise of a sensor, each another."""
    folder.mkdir()
    for number in range(kind.number):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        if kind.flat:
            picture = Image.new("RGBA", kind.size, (*rng.integers(0, 256, 3).tolist(), 255))
        else:
            small = np.asarray(coarse.resize((1000, 750), Image.Resampling.BICUBIC), np.int16)
            noisy = (small + rng.normal(0, 4, small.shape)).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(noisy).resize(kind.size, Image.Resampling.BILINEAR)
        picture.convert(kind.mode).save(folder / f"{number}{kind.suffix}", **kind.options)


def read(pictures: Path, home: Path, cores: int, limit: float | None) -> str:
    """Read a folder in a process of its own; return the cells of its row."""

    def confine() -> None:
        os.sched_setaffinity(0, range(cores))
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (int(limit * 1e9), int(limit * 1e9)))

    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(pictures)],
        env={**os.environ, "VISITA_HOME": str(home)},
        preexec_fn=confine,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    found = re.search(r"^measured (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if found is None:
        return f"failed: {(done.stderr.strip().splitlines() or ['?'])[-1]} | | | |"
    added, skipped, space, peak = map(int, found.groups())
    resident, reserved = (f"{kib * 1024 / 1e6:,.0f}" for kib in (peak, space))
    return f"{added} | {skipped} | {resident} | {reserved} | {time.monotonic() - started:.1f}"


def discard(folder: Path) -> None:
    """Delete a folder and what is in it, if it is there."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
