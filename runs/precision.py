"""What int8 features cost: visita-small's seeds on dev, read in int8 and in float32.

python runs/precision.py --data flickr8k:PATH --recipe FOLDER --out FILE.json [--seeds 5]

FOLDER is what ``runs/shipped.py`` made. The same matchers read both, so no chance of
training is in the difference; the interval is over dev images.
"""

import argparse
import json
from pathlib import Path

from compare import measured, plain

from visita.data import open_pairs
from visita.evaluation import mean_over_seeds, paired_retrieval
from visita.matchers import load
from visita.store import pictures


def main() -> None:
    """Measure in both precisions, print and write rsum and its difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    pairs = open_pairs(options.data)
    folders = [options.recipe / f"seed{n}" / "visita-small" for n in range(options.seeds)]
    matchers = [load(folder) for folder in folders]
    int8 = measured(pairs, matchers)
    pictures.known_activations = lambda _: None  # every encoder stays in float32
    float32 = measured(pairs, matchers)
    joined = [mean_over_seeds(runs, seed=0) for runs in (float32, int8)]
    result = {
        "seeds": options.seeds,
        "float32": [run.rsum.value for run in float32],
        "int8": [run.rsum.value for run in int8],
        "int8 - float32": plain(paired_retrieval(*joined, seed=0)["rsum"]),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
