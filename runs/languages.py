"""Train what reads other languages for a shipped matcher, with several seeds, and measure it.

python runs/languages.py NAME --data flickr8k:PATH --captions FILE --parallel TEXTS --work DIR
    [--seeds 0 1 2 3 4] [--without CODE …] [--out docs/results]

FILE has the columns image, language and caption, separated by tabs, and TEXTS a column a language,
``en`` the first, of sentences that say the same. DIR gets one matcher a seed,
``seedN/NAME``, and what was measured of it on dev beside; what is there already is kept. Seed 0
ships: copy it over src/visita/matchers/NAME. OUT gets ``languages-NAME.md``. ``--without`` leaves a
language out of training, to see how well it is read unseen: give such a run a DIR of its own; its
page is ``languages-NAME-without-CODE.md``.
"""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

import visita
from visita.data import PairSet, open_pairs
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.weights import rounded
from visita.evaluation import best_ranks, fit_calibration, recall_at, recall_by_language
from visita.evaluation.blocks import dot_blocks
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.retrieval import CUTOFFS
from visita.matchers.others import TextSide
from visita.networks.fusion import Tower
from visita.store.extract import PairFeatures, picture_features, text_features
from visita.training.calibrate import calibrate_pairs
from visita.training.config import FusionConfig
from visita.training.tensors import PairTensors, Spans, standardised, statistics
from visita.training.tuning import train_network
from visita.types import FloatArray, Matcher
from visita.vectors import unit

ENCODER, LEVELS = "e5", ("layer4", "layer6", "layer8", "layer10", "layer12")
MOST, TEACHERS = 3, 2
"""Captions a picture and language that are learnt from, and English ones, whose vectors teach."""
RIDGE = 0.005
PICTURE = 0.5
"""How much the start's target is of the picture's vector beside that of its English captions."""
HIDDEN, DROPOUT, INPUT_DROPOUT = 512, 0.4, 0.2
EPOCHS, BATCH, RATE, TEMPERATURE = 4, 512, 5e-4, 0.07
SENTENCES = 5000
"""Rows of parallel sentences that are learnt from."""
Caption = tuple[str, str, str]
"""Picture, language, text."""
Sentence = tuple[str, str]
"""A text, and what it says in English."""


class Reading(nn.Module):
    """A two-sided network whose images are vectors already."""

    def __init__(self, tower: Tower, dim: int) -> None:
        super().__init__()
        self.text, self.dim = tower, dim

    def image(self, features: Tensor) -> Tensor:
        """Map (n, 1, dim) to (n, dim)."""
        return features[:, 0]


def main() -> None:
    """Train and measure what is not there yet, then write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=visita.matchers.SHIPPED)
    parser.add_argument("--data", required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--parallel", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    matcher = visita.load(options.name)
    pairs, captions = open_pairs(options.data), list(read(options.captions))
    reports = [one_seed(matcher, pairs, captions, seed, options) for seed in options.seeds]
    page = markdown(options, reports)
    name = "-without-".join([f"languages-{options.name}", *options.without])
    (options.out / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)


def read(file: Path) -> Iterator[tuple[str, str, str]]:
    """Yield picture, language and text of each caption."""
    for line in file.read_text("utf-8").splitlines()[1:]:
        picture, language, text = line.split("\t")
        yield picture, language, text


def sentences(options: Any, captions: Iterable[Caption]) -> Iterator[Sentence]:
    """Yield parallel sentences that are no captions, which may be those of dev pictures."""
    with options.parallel.open(encoding="utf-8") as lines:
        codes, *rows = (line.rstrip("\n").split("\t") for line in lines)
    known = {text for *_, text in captions}
    rows = [row for row in rows if not known.intersection(row)]
    for place in np.random.default_rng(0).permutation(len(rows))[:SENTENCES]:
        english, *others = rows[place]
        for code, text in zip(codes[1:], others, strict=True):
            if code not in options.without:
                yield text, english


def one_seed(
    matcher: Matcher, pairs: PairSet, captions: list[Caption], seed: int, options: Any
) -> dict[str, Any]:
    """Return what was measured of one seed, trained unless that was done before."""
    place = options.work / f"seed{seed}"
    report = place / "languages.json"
    if not report.is_file():
        first = matcher.retriever
        known = [caption for caption in captions if caption[1] not in options.without]
        side = trained(first, pairs, known, list(sentences(options, captions)), seed)
        dev = in_languages(pairs.take("dev"), captions)
        features = features_for(side, dev, None)
        found = measured(side, features)
        side = calibrated(side, features, seed)
        whole = replace(matcher, others=side) if first is matcher else None
        whole = whole or replace(matcher, first=replace(first, others=side))
        curve = visita.matchers.shipped_folder(options.name) / "curve.png"
        whole.save(place / options.name, beside=lambda draft: shutil.copy(curve, draft))
        report.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"seed {seed}", flush=True)
    return dict(json.loads(report.read_text("utf-8")))


def in_languages(pairs: PairSet, captions: Iterable[Caption]) -> PairSet:
    """Return the pictures of ``pairs``, all of one split, with other captions."""
    rows = {picture: row for row, picture in enumerate(pairs.image_ids)}
    known = [(rows[picture], *rest) for picture, *rest in captions if picture in rows]
    places = {text: place for place, text in enumerate(dict.fromkeys(c[2] for c in known))}
    cells = [row for row, *_ in known], [places[text] for *_, text in known]
    truth = sparse.csr_array((np.ones(len(known), bool), cells), (len(rows), len(places)))
    split = np.full(len(places), pairs.image_split[0])
    languages = {text: language for _, language, text in known}
    return replace(pairs, texts=tuple(places), truth=truth, text_split=split, languages=languages)


def trained(
    matcher: Matcher,
    pairs: PairSet,
    captions: list[Caption],
    parallel: list[Sentence],
    seed: int,
) -> TextSide:
    """Return what reads the captions' languages into the matcher's space."""
    encoder = TEXT_ENCODERS.load(ENCODER)(LEVELS)
    train, dev = pairs.take("train"), pairs.take("dev")
    english = first_texts(train)
    pictures, of_dev = vectors_of(matcher, train), vectors_of(matcher, dev)
    said = unit(english_vectors(matcher, english).reshape(len(pictures), TEACHERS, -1).mean(axis=1))
    wanted = unit(said + PICTURE * unit(pictures))
    ours = [(i, "en", t) for i, t in zip(train.image_ids, english[::TEACHERS], strict=True)]
    learnt = in_languages(train, [*few(captions), *ours])
    chosen = in_languages(dev, captions)
    features = text_features(learnt.texts, encoder).pooled()
    further = text_features([text for text, _ in parallel], encoder).pooled()
    owners = np.asarray(learnt.truth.argmax(axis=0)).ravel()
    targets = [wanted[owners], english_vectors(matcher, [meant for _, meant in parallel])]
    tower = started(np.concatenate([features, further]), np.concatenate(targets), seed)
    train_network(
        Reading(tower, matcher.dim),
        PairTensors(pictures[:, None], features, learnt.truth),
        PairTensors(of_dev[:, None], text_features(chosen.texts, encoder).pooled(), chosen.truth),
        Spans.whole(matcher.dim, features.shape[1]),
        partial(recall_of_texts, chosen.truth),
        FusionConfig(
            seed=seed, epochs=EPOCHS, batch=BATCH, learning_rate=RATE, temperature=TEMPERATURE
        ),
    )
    return TextSide(
        name=matcher.name,
        of=matcher.fingerprint(),
        encoder=encoder.name,
        levels=encoder.levels,
        encoder_fingerprint=encoder.fingerprint(),
        tensors=rounded({name: x.detach().numpy() for name, x in tower.state_dict().items()}),
        base=matcher,
        facts={
            "learnt": dict(Counter(learnt.text_languages)),
            "parallel": len(parallel),
            "seed": seed,
        },
    )


def first_texts(pairs: PairSet) -> list[str]:
    """Return the first ``TEACHERS`` captions of each picture, one picture after the other."""
    truth = pairs.truth.tocsr()
    starts = [truth.indptr[row] for row in range(len(pairs.image_ids))]
    return [pairs.texts[truth.indices[start + n]] for start in starts for n in range(TEACHERS)]


def english_vectors(matcher: Matcher, texts: Sequence[str]) -> FloatArray:
    """Return unit vectors of English texts."""
    return unit(matcher.embed_texts(text_features(texts, matcher.open_text_encoder())))


def few(captions: Iterable[Caption]) -> Iterator[Caption]:
    """Yield the first ``MOST`` captions of each picture and language."""
    seen: Counter[tuple[str, str]] = Counter()
    for caption in captions:
        seen[caption[:2]] += 1
        if seen[caption[:2]] <= MOST:
            yield caption


def vectors_of(matcher: Matcher, pairs: PairSet) -> FloatArray:
    """Return the matcher's vectors of the pictures of ``pairs``, which all can be read."""
    kept, columns = picture_features(pairs, matcher.recipe)
    assert kept.image_ids == pairs.image_ids
    return matcher.embed_images(columns)


def started(features: FloatArray, targets: FloatArray, seed: int) -> Tower:
    """Return the network that starts from ridge regression on what each text is to be near."""
    mean, scale = statistics(features)
    z = standardised(features, mean, scale)
    gram = z.T @ z + RIDGE * len(z) * np.eye(z.shape[1])
    linear = np.linalg.solve(gram, z.T @ targets)
    torch.manual_seed(seed)
    tower = Tower(z.shape[1], targets.shape[1], HIDDEN, DROPOUT, INPUT_DROPOUT)
    for name, values in (("mean", mean), ("scale", scale), ("linear", linear)):
        getattr(tower, name).copy_(torch.from_numpy(values))
    return tower


def recall_of_texts(truth: sparse.csr_array, pictures: FloatArray, texts: FloatArray) -> float:
    """Return the sum of R@1, R@5 and R@10 of texts; some pictures have none."""
    ranks = best_ranks(dot_blocks(texts, pictures), truth.T.tocsr())
    return sum(recall_at(ranks, k) for k in CUTOFFS)


def measured(side: TextSide, dev: PairFeatures) -> dict[str, Any]:
    """Return the recall of pictures for the texts of each language, as JSON values."""
    pictures, texts = vectors(side, dev)
    unlearnt = [side.reading(code) is not side for code in dev.pairs.text_languages]
    texts[unlearnt] = vectors(side.straight, dev)[1][unlearnt]
    ranks = best_ranks(dot_blocks(texts, pictures), dev.pairs.truth.T.tocsr())
    _, groups = dev.pairs.components()
    found = recall_by_language(ranks, dev.pairs.text_languages, groups, seed=0)
    return {
        code: {
            "texts": one.texts,
            "text_to_image": {
                f"R@{k}": asdict(recall) for k, recall in zip(CUTOFFS, one.recall, strict=True)
            },
        }
        for code, one in found.items()
    }


def calibrated(side: TextSide, dev: PairFeatures, seed: int) -> TextSide:
    """Return what knows probabilities too, those of single words as of the English side."""
    captioned = dev.of_images(np.flatnonzero(np.diff(dev.pairs.truth.tocsr().indptr)))
    embedded, truth = vectors(side, captioned), captioned.pairs.truth.tocsr()
    features = partial(features_of_pairs, embedded, captioned.pairs.texts)
    return replace(
        side,
        calibration=fit_calibration(*embedded, truth, seed=seed),
        keyword_calibration=side.base.keyword_calibration,
        **calibrate_pairs(captioned.pairs, features, seed),
    )


def markdown(options: Any, reports: Sequence[dict[str, Any]]) -> str:
    """Return the mean over the seeds, with the interval of each seed's mean as one."""
    without = f", without {', '.join(options.without)}" if options.without else ""
    lines = [
        f"# {options.name}: texts in other languages",
        "",
        f"Recall of dev pictures, text to image, in % [95 % interval]{without}; mean over "
        f"the seeds {' '.join(map(str, options.seeds))}. Written by `runs/languages.py`.",
        "",
        "| language | texts | R@1 | R@5 | R@10 |",
        "|---|---|---|---|---|",
    ]
    for code in reports[0]:
        cells = []
        for k in (1, 5, 10):
            found = [report[code]["text_to_image"][f"R@{k}"] for report in reports]
            value, low, high = (
                np.mean([one[x] for one in found]) for x in ("value", "low", "high")
            )
            cells.append(f"{value:.1f} [{low:.1f}, {high:.1f}]")
        lines.append(f"| {code} | {reports[0][code]['texts']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
