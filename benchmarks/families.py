"""What a matcher of each pretrained family costs at full size, in float32 and by default.

python benchmarks/families.py FOLDER [--families clip blip …] [--pictures 8]

The networks are those of the library's own configurations, with random weights and a vocabulary
of a few words: the table of a real one adds its numbers to memory and nothing to time. ALIGN and
open_clip's own are not among them. Each row is
a process of its own whose graphs were made before; a query is read, not searched for. ``graphs`` is
what both networks take on disk.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from pretrained import Bench

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import tiny_pretrained as tiny

FAMILIES = {
    "clip": ("clip", tiny.clip, 224, "ViT-B/32"),
    "siglip": ("siglip", tiny.siglip2, 224, "SigLIP 2, ViT-B/16"),
    "metaclip2": ("metaclip2", tiny.metaclip2, 224, "ViT-B/32"),
    "chinese-clip": ("chinese-clip", tiny.chinese_clip, 224, "ViT-B/32"),
    "altclip": ("altclip", tiny.altclip, 224, "ViT-B/32, XLM-R"),
    "blip": ("blip", tiny.blip, 384, "ViT-B/16"),
    "blip2": ("blip2", tiny.blip2, 224, "ViT-g/14"),
}
DRAWN = 0.02  # the deviation of the others
HEAD = """| family | in | pictures a CPU second | ms a query | memory, GB | graphs, MB | cosine |
|---|---|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Print a Markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--pictures", type=int, default=8)
    options = parser.parse_args()
    print(HEAD)
    for name in options.families:
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(options.folder, options.pictures, Path(scratch))
            for line in rows(name, bench, Path(scratch)):
                print(line, flush=True)


def rows(name: str, bench: Bench, scratch: Path) -> list[str]:
    """Return the rows of one family."""
    family, write, side, size = FAMILIES[name]
    at_full_size(side)
    matcher = f"{family}:{write(scratch / name)}"
    lines = []
    for precision in ("float32", ""):
        row = f"{name}, {precision or 'default'}"
        bench.reading(row, matcher, precision)  # makes the graphs
        _, of_cpu, query, peak = bench.reading(row, matcher, precision)
        graphs = scratch / f"home-{precision}" / "cache" / "graphs"
        disk = sum(file.stat().st_size for file in graphs.rglob("*.bin")) / 1e6
        cosine = "" if precision else f"{bench.cosine(row, f'{name}, float32'):.4f}"
        lines.append(
            f"| `{family}:` {size} | {precision or 'default'} | {of_cpu:.2f} | {query:.0f} | {peak / 1e3:.2f} "
            f"| {disk:.0f} | {cosine} |"
        )
        shutil.rmtree(graphs)
    return lines


def at_full_size(side: int) -> None:
    """Let the writers of tiny checkpoints take the sizes that the library has by default."""
    for sizes in (tiny.SIZES, tiny.SEEN):
        sizes.clear()
    tiny.SEEN["image_size"] = tiny.SQUARE["height"] = tiny.SQUARE["width"] = tiny.SIDE = side
    tiny.spread = as_the_library_drew_it


def as_the_library_drew_it(model: torch.nn.Module, *_seed: int) -> torch.nn.Module:
    """Return a model with the random weights that it has, those that are all but 0 drawn anew.

    BLIP's vision tower is drawn with a deviation of 1e-10: no picture changes what it returns.
    """
    for values in model.parameters():
        if values.ndim > 1 and 0 < values.std() < DRAWN / 1000:
            torch.nn.init.normal_(values, std=DRAWN)
    return model.eval()


if __name__ == "__main__":
    main()
