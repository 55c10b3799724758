"""Measure the activation ranges that int8 extraction uses, on training pictures only.

python runs/quantize.py flickr8k:PATH  rewrites src/visita/features/int8_ranges.json.
"""

import json
import sys
from pathlib import Path

import numpy as np

import visita.features
from visita.data import decode, open_pairs
from visita.features.encoders import IMAGE_ENCODERS
from visita.features.engine import trace
from visita.features.quantize import measure_ranges

PICTURES, BATCH, SEED = 320, 8, 0


def main(spec: str) -> None:
    """Measure every image encoder on the same seeded sample and write one JSON file."""
    train = open_pairs(spec).take("train")
    rows = np.random.default_rng(SEED).choice(len(train.image_paths), PICTURES, replace=False)
    pictures = [decode(train.image_paths[row]) for row in rows]
    table = {}
    for name in IMAGE_ENCODERS.names():
        encoder = IMAGE_ENCODERS.load(name)()
        pixels = np.stack([encoder.prepare(picture) for picture in pictures])
        model = trace(encoder.network(["classes"]), [pixels[:BATCH]])
        batches = [pixels[start : start + BATCH] for start in range(0, PICTURES, BATCH)]
        table[name] = measure_ranges(model, batches)
        print(name, len(table[name]), "convolutions", flush=True)
    path = Path(visita.features.__file__).with_name("int8_ranges.json")
    path.write_text(json.dumps(table).replace("]], ", "]],\n") + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
