"""What ``shipped.py`` keeps of a seed, and the page and the picture that it makes of all."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

SIZES = ("10", "100", "1000")
RESULTS = {
    "sentence, first result": ("calibration", "top1"),
    "sentence, first ten": ("calibration", "top10"),
}
WAYS = ("image_to_text", "text_to_image")
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Kept:
    """One seed's matcher and numbers in a working folder."""

    work: Path
    name: str
    seed: int

    @property
    def matcher(self) -> Path:
        """Folder of the matcher."""
        return self.work / f"seed{self.seed}" / self.name

    def _beside(self, ending: str) -> Path:
        return self.matcher.with_name(f"{self.name}{ending}")

    def note_training(self, seconds: float, warnings: list[str]) -> None:
        """Keep what only training knows."""
        noted = {"seconds": round(seconds, 1), "warnings": warnings}
        self._beside("-training.json").write_text(json.dumps(noted), encoding="utf-8")

    def is_measured(self) -> bool:
        """Tell whether ``keep`` was called."""
        return self._beside(".json").is_file()

    def keep(self, facts: Facts, ranks: Mapping[str, Any]) -> None:
        """Keep what was measured."""
        np.savez_compressed(self._beside("-ranks.npz"), **ranks)
        self._beside(".json").write_text(json.dumps(facts), encoding="utf-8")

    def ranks(self) -> dict[str, Any]:
        """Return the ranks of dev images and texts, float64."""
        with np.load(self._beside("-ranks.npz")) as saved:
            return dict(saved)

    def facts(self, *, with_bins: bool = True) -> dict[str, Any]:
        """Return all numbers; without bins, of each calibration the error alone, rounded."""
        facts = json.loads(self._beside(".json").read_text("utf-8"))
        training = json.loads(self._beside("-training.json").read_text("utf-8"))
        if not with_bins:
            facts["calibration"] = {
                top: {size: round(one["error"], 2) for size, one in sizes.items()}
                for top, sizes in facts["calibration"].items()
            }
            facts["match probability"] = round(facts["match probability"]["error"], 2)
        return {"seed": self.seed, **training, **facts}

    def line(self) -> str:
        """Return the headline numbers."""
        dev = self.facts()["dev"]
        found, pairs = dev["retrieval"], dev["pairs"]
        recalls = " / ".join(f"{found[way]['R@1']['value']:.1f}" for way in WAYS)
        return (
            f"{self.name} seed {self.seed}: rsum {found['rsum']['value']:.1f}, R@1 {recalls}, "
            f"F1 {pairs['F1']['value']:.1f}, mAP {pairs['mAP']['value']:.1f}"
        )


def markdown(result: Facts) -> str:
    """Return the page of results."""
    name, runs = result["name"], result["runs"]
    count, seeds = len(runs), ", ".join(str(run["seed"]) for run in runs)
    spread = _spread(runs)
    lines = [
        f"# {name} on Flickr8k dev and on coco80",
        "",
        f"Written by `runs/shipped.py {name}`, with all numbers by seed in [{name}.json]"
        f"({name}.json). Dev: 1,000 images, 5,000 captions; it chose epoch, settings, threshold "
        "and calibration, so its numbers are a little too good. coco80: 80 images of MSCOCO, 400 "
        "captions, pictures never trained on (the text encoder read COCO's captions). "
        f"Seeds {seeds}; seed 0, fixed beforehand, ships.",
        "",
        *_retrieval(result["dev"], f"Flickr8k dev, mean of {count} seeds"),
        *_difference(result.get("difference")),
        "| mean over seeds (lowest to highest) | |",
        "|---|---|",
        f"| rsum | {spread(_rsum('retrieval'))}; over images {_estimate(result['dev']['rsum'])} |",
    ]
    if "first stage" in runs[0]["dev"]:
        lines.append(f"| rsum of the first stage alone | {spread(_rsum('first stage'))} |")
        for way in WAYS:
            found = spread(_recall("dev", "first stage", way))
            lines.append(f"| R@1 of the first stage alone, {_words(way)} | {found} |")
    for metric in ("precision", "recall", "F1", "mAP", "AUC"):
        lines.append(f"| right or wrong pair, one to one: {metric} | {spread(_pairs(metric))} |")
    for metric in ("precision", "recall", "F1"):
        found = spread(lambda run, metric=metric: run["cross-fitted pairs"][metric]["value"])
        lines.append(f"| the same, cross-fitted over halves of the images: {metric} | {found} |")
    found = spread(lambda run: run["match probability"])
    lines.append(f"| their probabilities, cross-fitted: expected calibration error | {found} |")
    for way in WAYS:
        found = spread(_recall("travel", "retrieval", way))
        lines.append(f"| coco80: R@1 {_words(way)} | {found} |")
    for metric in ("mAP", "P@10", "hit@1"):
        found = spread(lambda run, metric=metric: run["keywords"][metric]["value"])
        lines.append(f"| keywords, {runs[0]['keywords']['words']} nouns: {metric} | {found} |")
    found = spread(lambda run: run["noun pairs"]["value"])
    lines.append(f"| a noun and a picture, one to one: told right | {found} |")
    seconds = spread(lambda run: run["seconds"] / 60)
    lines += [f"| minutes of training, on a machine with other work | {seconds} |", ""]
    return "\n".join([*lines, *_calibration(runs), *_shipped(result)]) + "\n"


def _retrieval(found: Facts, title: str) -> list[str]:
    lines = [
        f"| {title} [95 % interval over images] | image → text | text → image |",
        "|---|---|---|",
    ]
    for metric in ("R@1", "R@5", "R@10", "MedR"):
        cells = [_estimate(found[way][metric]) for way in WAYS]
        lines.append(f"| {'median rank' if metric == 'MedR' else metric} | {' | '.join(cells)} |")
    return [*lines, ""]


def _difference(found: Facts | None) -> list[str]:
    if not found:
        return []
    recalls = [f"R@1 {_words(way)} {_signed(found[way]['R@1'])}" for way in WAYS]
    return [
        f"Against {found['from']}, image by image, the same seeds: "
        f"rsum **{_signed(found['rsum'])}**, {', '.join(recalls)}.",
        "",
    ]


def _calibration(runs: list[Facts]) -> list[str]:
    lines = [
        "Expected calibration error in percent, cross-fitted over halves of the images, 15 bins, "
        "mean over seeds; single words are measured by `runs/single_words.py`:",
        "",
        "| gallery size | 10 | 100 | 1,000 |",
        "|---|---|---|---|",
    ]
    for label, (kind, top) in RESULTS.items():
        means = [np.mean([run[kind][top][size] for run in runs]) for size in SIZES]
        lines.append(f"| {label} | {' | '.join(f'{mean:.1f}' for mean in means)} |")
    return [*lines, ""]


def _shipped(result: Facts) -> list[str]:
    name, [first, *_] = result["name"], result["runs"]
    found, pairs = first["dev"]["retrieval"], first["dev"]["pairs"]
    recalls = " / ".join(f"{found[way]['R@1']['value']:.1f}" for way in WAYS)
    travel = first["travel"]["retrieval"]
    away = " / ".join(_estimate(travel[way]["R@1"]) for way in WAYS)
    return [
        f"The seed that ships (0): rsum {found['rsum']['value']:.1f}, R@1 {recalls}, F1 "
        f"{pairs['F1']['value']:.1f}, mAP {pairs['mAP']['value']:.1f}; coco80 R@1 {away}. Its "
        "probabilities against what happens, cross-fitted:",
        "",
        f"![Reliability of {name}]({name}-reliability.png)",
    ]


def draw_reliability(facts: Facts, path: Path) -> None:
    """Draw predicted against observed shares of matches, a panel a kind of query and of result."""
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    for panel, (label, (kind, top)) in zip(
        figure.subplots(1, len(RESULTS), sharex=True, sharey=True), RESULTS.items(), strict=True
    ):
        panel.plot([0, 100], [0, 100], color="0.7", linewidth=1)
        for size in SIZES:
            bins = facts[kind][top][size]["bins"]
            panel.plot(
                [one["predicted"] for one in bins],
                [one["observed"] for one in bins],
                "o-",
                markersize=3,
                linewidth=1,
                label=f"{int(size):,} pictures",
            )
        panel.set_title(label, fontsize=10)
        panel.set_xlabel("said, %")
        panel.set_aspect("equal")
    figure.axes[0].set_ylabel("true, %")
    figure.axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)


def _spread(runs: list[Facts]) -> Callable[[Callable[[Facts], float]], str]:
    def spread(number: Callable[[Facts], float]) -> str:
        values = [number(run) for run in runs]
        return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"

    return spread


def _rsum(stage: str) -> Callable[[Facts], float]:
    return lambda run: run["dev"][stage]["rsum"]["value"]


def _recall(data: str, stage: str, way: str) -> Callable[[Facts], float]:
    return lambda run: run[data][stage][way]["R@1"]["value"]


def _pairs(metric: str) -> Callable[[Facts], float]:
    return lambda run: run["dev"]["pairs"][metric]["value"]


def _estimate(one: Facts) -> str:
    return f"{one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}]"


def _signed(one: Facts) -> str:
    return f"{one['value']:+.1f} [{one['low']:+.1f}, {one['high']:+.1f}]"


def _words(way: str) -> str:
    return way.replace("_to_", " → ")
