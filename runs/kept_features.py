"""What it costs that a gallery keeps features in steps of a few bits: rsum of a shipped matcher.

python runs/kept_features.py --data flickr8k:PATH --out FILE.json [--matcher visita-small]

Dev's features as they are computed, and as ``visita.gallery.packing`` gives them back at each
number of bits; the interval is over dev images, and the matcher is the same.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from compare import plain

from visita.data import open_pairs
from visita.evaluation import paired_retrieval, retrieval
from visita.evaluation.measure import features_for, vectors
from visita.gallery import packing
from visita.matchers import load


def main() -> None:
    """Measure rsum and the cosine of vectors, print and write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--matcher", default="visita-small")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 5, 6, 8])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    matcher = load(options.matcher)
    dev = features_for(matcher, open_pairs(options.data).take("dev"), None)
    truth = dev.pairs.truth.tocsr()
    images, texts = vectors(matcher, dev)
    computed = retrieval(images, texts, truth, seed=0)
    result = {"computed": computed.rsum.value, "bits": {}}
    for packing.BITS in options.bits:
        way = packing.Packing({name: values.shape[1:] for name, values in dev.columns.items()})
        kept = way.pack(dev.columns)
        again = matcher.embed_images(way.unpack(kept))
        found = retrieval(again, texts, truth, seed=0)
        cosines = (again * images).sum(1) / np.linalg.norm(again, axis=1)
        cosines /= np.linalg.norm(images, axis=1)
        result["bits"][packing.BITS] = {
            "bytes": sum(column[0].nbytes for column in kept.values()),
            "rsum": found.rsum.value,
            "difference": plain(paired_retrieval(computed, found, seed=0)["rsum"]),
            "cosine": {"mean": float(cosines.mean()), "least": float(cosines.min())},
        }
        print(packing.BITS, result["bits"][packing.BITS], flush=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
