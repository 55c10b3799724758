"""Do the heat maps of ``visita explain`` show what matters?

python runs/explaining.py --data flickr8k:PATH [--matcher visita-small] [--pairs 150] \\
    [--out docs/results/explaining]

Deletion: of each pair (a dev picture and one of its captions, drawn at random) the hottest 5 of
the 25 cells are made grey, or 5 random ones (the mean of 5 draws), or the 5 in the middle; by how
much does the score fall? Pointing: two dev pictures side by side; does the hottest cell for a
caption, and for each noun that only one of the two captions has, lie in its own picture? Both
with the maps that ``explain`` draws, and for a matcher of two stages also with the attention of
its second stage summed over words. Writes OUT.json and OUT.md.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import visita
from visita.data import PairSet
from visita.evaluation.intervals import estimates, group_sums, paired_difference
from visita.evaluation.keywords import find_nouns
from visita.search.explain import SIDE, Explanation, hide, words_of

DELETED, DRAWS = 5, 5
MIDDLE = (7, 11, 12, 13, 17)
Values = NDArray[np.float64]


def main() -> None:
    """Explain pairs, delete cells, point at halves, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--matcher", default="visita-small")
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/explaining"))
    options = parser.parse_args()
    finder = visita.Finder(options.matcher)
    dev = visita.open_pairs(options.data).take("dev")
    report = {
        "matcher": finder.matcher.name,
        "fingerprint": finder.matcher.fingerprint(),
        "data": dev.fingerprint(),
        "pairs": options.pairs,
        "seed": options.seed,
        "deletion": deletion(finder, dev, options.pairs, options.seed),
        "pointing": pointing(finder, dev, options.pairs // 3, options.seed),
    }
    options.out.with_suffix(".json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


def maps(explanation: Explanation) -> dict[str, Values]:
    """Return each kind of map of the whole text, (25,)."""
    found = {"hiding": explanation.heat.ravel()}
    if explanation.words_by == "attention":
        found["attention"] = np.sum([one.heat.ravel() for one in explanation.words], axis=0)
    return found


def deletion(finder: visita.Finder, dev: PairSet, count: int, seed: int) -> dict[str, Any]:
    """Return the mean falls of the score, and how much more the hottest cells cost."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(dev.image_ids))[:count]
    falls: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        picture = finder.pictures.open(dev.image_paths[row])
        text = dev.texts[rng.choice(dev.truth[[row]].indices)]
        explanation = visita.explain(finder, picture, text)
        chosen = {name: [hottest(heat)] for name, heat in maps(explanation).items()}
        chosen["middle"] = [MIDDLE]
        chosen["random"] = [rng.permutation(SIDE**2)[:DELETED] for _ in range(DRAWS)]
        hidden = [hide(picture, cells) for some in chosen.values() for cells in some]
        fallen = iter(explanation.pair.score - finder.see(hidden).scores(finder.query(text)))
        for name, some in chosen.items():
            falls[name].append(float(np.mean([next(fallen) for _ in some])))
        falls["score"].append(explanation.pair.score)
    values = {name: np.array(some) for name, some in falls.items()}
    return {
        "means": {name: estimate(some, seed) for name, some in values.items()},
        "over random": {
            name: difference(values["random"], values[name], seed)
            for name in values
            if name not in ("random", "score")
        },
        "over middle": difference(values["middle"], values["hiding"], seed),
        "pairs where the hottest cost more than random ones": estimate(
            100.0 * (values["hiding"] > values["random"]), seed
        ),
    }


def hottest(heat: Values) -> NDArray[np.int64]:
    """Return the cells to delete."""
    return np.argsort(-heat, kind="stable")[:DELETED]


def pointing(finder: visita.Finder, dev: PairSet, count: int, seed: int) -> dict[str, Any]:
    """Return in how many percent of the cases the hottest cell is in the right picture."""
    rng = np.random.default_rng(seed)
    nouns = set(find_nouns(dev.texts)[0])
    hits: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number in range(count):
        rows = rng.permutation(len(dev.image_ids))[:2]
        captions = [dev.texts[rng.choice(dev.truth[[row]].indices)].rstrip(" .") for row in rows]
        picture = side_by_side([finder.pictures.open(dev.image_paths[row]) for row in rows])
        for side, caption in enumerate(captions):
            for name, heat in maps(visita.explain(finder, picture, caption)).items():
                hits[f"caption, {name}"].append((number, in_half(heat, side)))
        words = visita.explain(finder, picture, " and ".join(captions)).words
        lengths = [len(words_of(caption)) for caption in captions]
        sides = np.repeat([0, 1], [lengths[0], lengths[1] + 1])
        shared = set(captions[0].lower().split()) & set(captions[1].lower().split())
        for word, side in zip(words, sides, strict=True):
            if word.text.lower() in nouns - shared:
                hits["nouns"].append((number, in_half(word.heat.ravel(), side)))
    found = {}
    for name, some in hits.items():
        groups, values = np.array(some).T
        _, groups = np.unique(groups, return_inverse=True)
        found[name] = {"cases": len(values), **estimate(100 * values, seed, groups)}
    return found


def in_half(heat: Values, side: int) -> float:
    """Return 1 if the hottest cell is on that side, 0 if on the other, 1/2 in the middle."""
    column = int(heat.argmax()) % SIDE
    return 0.5 if column == SIDE // 2 else float((column > SIDE // 2) == bool(side))


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Return two pictures as the halves of one."""
    side = 260
    whole = Image.new("RGB", (2 * side, side))
    for number, picture in enumerate(pictures):
        whole.paste(picture.resize((side, side)), (number * side, 0))
    return whole


def estimate(
    values: Values, seed: int, groups: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Return the mean with its 95 % interval over groups, one a value unless told."""
    groups = np.arange(len(values)) if groups is None else groups
    sums, counts = group_sums(values, groups), np.bincount(groups)
    [found] = estimates(lambda w: w @ sums / (w @ counts)[:, None], len(counts), seed=seed)
    return found.to_dict()


def difference(before: Values, after: Values, seed: int) -> dict[str, float]:
    """Return the mean paired difference with its 95 % interval."""
    return asdict(paired_difference(before, after, np.arange(len(before)), seed=seed))


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    deleted, pointed = report["deletion"], report["pointing"]
    named = {
        "hiding": "the hottest, by hiding one at a time (`explain`)",
        "attention": "the hottest, by attention alone",
        "middle": "the middle (a cross)",
        "random": "random",
    }
    rows = "\n".join(
        f"| {label} | {interval(deleted['means'][name])} "
        f"| {interval(deleted['over random'].get(name), '+')} |"
        for name, label in named.items()
        if name in deleted["means"]
    )
    points = "\n".join(
        f"| {name} | {one['cases']} | {interval(one, digits=1)} |" for name, one in pointed.items()
    )
    share = deleted["pairs where the hottest cost more than random ones"]
    before, over = interval(deleted["means"]["score"]), interval(deleted["over middle"], "+")
    return f"""# Do the heat maps show what matters?

`runs/explaining.py` writes this page, here for {report["matcher"]} on {report["pairs"]} dev
pictures, each with one of its captions, drawn at random; 95 % intervals over pictures.

**Deletion.** 5 of the 25 cells are made grey. Before, the score is {before}.

| cells made grey | the score falls by | more than with random ones |
|---|---|---|
{rows}

The hottest cost more than random ones in {interval(share, digits=1)} % of the pairs, and
{over} more than the middle does. A map says by how much the score falls where
one cell is hidden; that five together do the same is not said by its making.

**Pointing.** Two dev pictures side by side are one picture. Is the hottest cell in the one that
a caption belongs to? And for each noun of both captions together that one alone has? (The
middle column counts half; chance is 50 %.)

| map of | cases | hottest cell in the right picture, % |
|---|---|---|
{points}
"""


def interval(one: dict[str, float] | None, sign: str = "", digits: int = 3) -> str:
    """Return ``value [low, high]``."""
    if one is None:
        return ""
    value, low, high = (f"{one[key]:{sign}.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
