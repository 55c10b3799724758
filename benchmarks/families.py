"""What a matcher of each pretrained family costs at full size, in float32 and by default.

python benchmarks/families.py FOLDER [--families clip blip …] [--pictures 8]

The networks are those of the libraries' own configurations, with random weights. Those of
transformers have a vocabulary of a few words: the table of a real one adds its numbers to memory
and nothing to time. ``open-clip …`` needs ``visita[open-clip]``. Each row is a process of its own
whose graphs were made before; a query is read, not searched for; a pair is scored by the head that
re-ranks. Disk is what the graphs of all networks take.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from math import isnan
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
    "align": ("align", tiny.align, 289, "EfficientNet-B7"),
    "naflex": ("siglip", tiny.naflex, 256, "SigLIP 2 NaFlex, ViT-B/16, 256 patches"),
    "blip": ("blip", tiny.blip, 384, "ViT-B/16"),
    "blip2": ("blip2", tiny.blip2, 224, "ViT-g/14"),
}
DRAWN = 0.02  # the deviation of the others
OPEN_CLIP = ("ViT-B-32", "EVA02-B-16", "MobileCLIP2-S0", "ViT-B-16-SigLIP")
HEAD = """| family | in | pictures a CPU s | query, ms | pair, ms | memory, GB | disk, MB | cosine |
|---|---|---:|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Print a Markdown table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    known = [*FAMILIES, *(f"open-clip:{name}" for name in OPEN_CLIP)]
    parser.add_argument("--families", nargs="*", choices=known, default=known)
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
    family, _, size = name.partition(":")
    if size:
        folder = open_clips(scratch / size, size)
    else:
        family, write, side, size = FAMILIES[name]
        at_full_size(side)
        folder = write(scratch / name)
    matcher = f"{family}:{folder}"
    lines = []
    for precision in ("float32", ""):
        row = f"{name}, {precision or 'default'}"
        bench.reading(row, matcher, precision)  # makes the graphs
        _, of_cpu, query, peak, pair = bench.reading(row, matcher, precision)
        graphs = scratch / f"home-{precision}" / "cache" / "graphs"
        disk = sum(file.stat().st_size for file in graphs.rglob("*.bin")) / 1e6
        cosine = "" if precision else f"{bench.cosine(row, f'{name}, float32'):.4f}"
        how = precision or "default"
        lines.append(
            f"| `{family}:` {size} | {how} | {of_cpu:.2f} | {query:.0f} "
            f"| {'' if isnan(pair) else f'{pair:.0f}'} | {peak / 1e3:.2f} | {disk:.0f} | {cosine} |"
        )
        shutil.rmtree(graphs)
    return lines


def open_clips(folder: Path, name: str) -> Path:
    """Write a model of open_clip's list, with random weights, as it pushes one to the hub."""
    import tiny_open_clip  # noqa: PLC0415 - needs an extra

    folder.mkdir()
    config = tiny_open_clip.open_clip.get_model_config(name)
    return tiny_open_clip.pushed(folder, {"model_cfg": config, "preprocess_cfg": {}})


def at_full_size(side: int) -> None:
    """Let the writers of tiny checkpoints take the sizes that the library has by default."""
    for sizes in (tiny.SIZES, tiny.SEEN, tiny.MAPS, tiny.QUERIES):
        sizes.clear()
    tiny.PATCH, tiny.PLACES, tiny.PATCHES, tiny.QUERY_COUNT = 16, 256, 256, 32
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
