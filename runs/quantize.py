"""Measure what goes into each convolution, for int8 extraction, on training pictures only.

python runs/quantize.py flickr8k:PATH  rewrites src/visita/encoders/int8.safetensors.
"""

import sys
from pathlib import Path

import numpy as np

import visita.encoders
from visita.artifact import write_arrays
from visita.data import decode, open_pairs
from visita.encoders.quantize import MEASURED, PICTURES, measure_on
from visita.encoders.table import IMAGE_ENCODERS

ENCODERS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
SEED = 0


def main(spec: str) -> None:
    """Measure every encoder that ships on the same seeded sample and write one file."""
    train = open_pairs(spec).take("train")
    rows = np.random.default_rng(SEED).choice(len(train.image_paths), PICTURES, replace=False)
    pictures = [decode(train.image_paths[row]) for row in rows]
    tensors = {}
    for name in ENCODERS:
        encoder = IMAGE_ENCODERS.load(name)()
        measured = measure_on(encoder.graph, [encoder.prepare(picture) for picture in pictures])
        tensors |= measured.to_tensors(name)
        print(name, len(measured.means), "convolutions", flush=True)
    write_arrays(Path(visita.encoders.__file__).with_name(MEASURED), tensors)


if __name__ == "__main__":
    main(sys.argv[1])
