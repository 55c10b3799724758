"""visita's own recipe with one thing changed at a time, several seeds each.

python runs/ablations.py --data flickr8k:PATH --out FILE.json [--seeds 5] [--only NAME]…

Numbers are on dev, each image's hits averaged over seeds; a difference is the change minus
the recipe, paired by image. The multi-level fusion paper's whole training is
``visita train fusion --preset paper``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from compare import joined, plain, trained

from visita.data import PairSet, open_pairs
from visita.evaluation import Retrieval, paired_retrieval

CHANGES = {
    "closed-form start alone": ["epochs=0"],
    "hinge loss, one random negative": ["loss=hinge"],
    "no class-name kernel": ["class_names_weight=0"],
    "no local scaling": ["neighbours=0"],
    "no mirrored view": ["mirror=false"],
    "last image level alone": ['image_levels={"efficientnet-lite2": ["head:avg", "classes"]}'],
    "last text layer alone": ['text_levels=["layer6"]'],
    "LSA in place of MiniLM": ["text_encoder=lsa"],
    "no keywords": ["keywords_per_image=0"],
    "texts not mixed": ["mix_texts=false"],
    "no label smoothing": ["label_smoothing=0"],
    "no weight decay": ["weight_decay=0"],
    "no dropout": ["dropout=0", "input_dropout=0"],
}


def main() -> None:
    """Measure the recipe and each change; print and write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=[*CHANGES], metavar="NAME")
    options = parser.parse_args()
    pairs = open_pairs(options.data)
    recipe = measured(pairs, [], options.seeds)
    result: dict[str, Any] = {"seeds": options.seeds, "recipe": recipe.to_dict(), "changes": {}}
    print(f"recipe: rsum {recipe.rsum.value:.1f}", flush=True)
    for name in options.only or CHANGES:
        changed = measured(pairs, CHANGES[name], options.seeds)
        difference = plain(paired_retrieval(recipe, changed, seed=0))
        result["changes"][name] = {
            "settings": CHANGES[name],
            "numbers": changed.to_dict(),
            "change - recipe": difference,
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        gain = difference["rsum"]
        interval = f"{gain['value']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}]"
        print(f"{name}: rsum {changed.rsum.value:.1f}, {interval}", flush=True)


def measured(pairs: PairSet, settings: list[str], seeds: int) -> Retrieval:
    """Return the dev retrieval of matchers trained with these settings."""
    return joined(pairs, (trained(pairs, [*settings, f"seed={seed}"]) for seed in range(seeds)))


if __name__ == "__main__":
    main()
