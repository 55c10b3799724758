"""Teaching a matcher other languages: another encoder reads their texts into its space.

Nothing of the pictures changes, so galleries stay as they are. Ridge regression puts a text near
its picture and near what the matcher makes of captions in its own language, or, of parallel
sentences, near what they mean; where there are pictures, a perceptron then learns by InfoNCE.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from visita.arguments import expect
from visita.artifact import check_free
from visita.brief import Brief
from visita.data import Data, PairSet, open_pairs
from visita.data.pairs import check_enough
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.weights import rounded
from visita.errors import ConfigError
from visita.evaluation import best_ranks, fit_calibration, recall_at, recall_by_language
from visita.evaluation.blocks import dot_blocks
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.retrieval import CUTOFFS
from visita.matchers import opened
from visita.matchers.others import TextSide
from visita.networks.fusion import Tower
from visita.store.extract import PairFeatures, picture_features, text_features
from visita.training.calibrate import calibrate_pairs
from visita.training.config import FusionConfig, LanguagesConfig
from visita.training.parallel import Sentence, read_parallel
from visita.training.tensors import PairTensors, Spans, standardised, statistics
from visita.training.train import TRAIN_AND_DEV
from visita.training.tuning import train_network
from visita.types import FloatArray, Matcher, TextEncoder
from visita.vectors import unit

Caption = tuple[int, str, str]
"""Row of the picture, language, text."""
PROBABILITY = ("calibration", "keyword_calibration", "match_probability", "threshold")
"""What is the matcher's own where nothing was measured in other languages."""
Report = dict[str, dict[str, Any]]
"""By language: how many texts of dev, and their recall with its interval."""


@dataclass(frozen=True, repr=False)
class TaughtLanguages(Brief):
    """A matcher that reads further languages, where it is saved, and its numbers.

    Attributes
    ----------
    matcher : Matcher
        The one that was taught; its fingerprint and its pictures' vectors are what they were.
    sentences : mapping of int
        Parallel sentences that were learnt from, by language.
    report : dict
        By language, ``texts`` and ``text_to_image``: recall of dev pictures, which also chose the
        epoch. Empty without pictures.
    seconds : float
        Training alone, features of pictures at hand.

    Examples
    --------
    >>> taught = visita.teach_languages(
    ...     "visita-small", "polyglot", parallel="sentences.tsv"
    ... )  # doctest: +SKIP
    >>> taught.sentences  # doctest: +SKIP
    {'de': 5000}
    """

    matcher: Matcher
    folder: Path
    sentences: Mapping[str, int]
    report: Report
    seconds: float


def teach_languages(
    base: Matcher | str | Path,
    out: str | Path,
    *,
    data: Data | None = None,
    parallel: str | Path | None = None,
    config: LanguagesConfig | None = None,
    features: str | Path | None = None,
) -> TaughtLanguages:
    """Teach a matcher the languages of ``data`` and of ``parallel``, and save it in ``out``.

    Parameters
    ----------
    base
        What reads no such language yet, or is to forget what it was taught of others.
    data
        Pictures with texts whose language is given; texts in the matcher's own language
        teach too, and those of train and dev are needed.
    parallel
        A table as ``read_parallel`` reads it.

    Raises
    ------
    DataError
        If train or dev has too few pictures, or the table cannot be read.
    ConfigError
        If there is nothing to learn from, or the base's texts are in no language that is known.

    Examples
    --------
    >>> visita.LanguagesConfig().text_encoder
    'e5'
    """
    expect(config, (LanguagesConfig, NoneType), "config is a LanguagesConfig")
    config = config or LanguagesConfig()
    check_free(Path(out).resolve())
    matcher = opened(base)
    first: Any = matcher.retriever
    if data is None and parallel is None:
        raise ConfigError("There is nothing to learn from: give pairs, parallel sentences or both.")
    own = own_language(first)
    pairs = None if data is None else open_pairs(data, seed=config.seed)
    sentences: list[Sentence] = []
    if parallel is not None:
        sentences = read_parallel(parallel, own, most=config.sentences, seed=config.seed)
    if pairs is not None:
        check_enough(pairs, TRAIN_AND_DEV, "Teaching languages")
    started = time.perf_counter()
    splits = {} if pairs is None else {name: pairs.take(name) for name in TRAIN_AND_DEV}
    side, report = taught(first, splits, sentences, config, features)
    seconds = time.perf_counter() - started
    whole = beside(matcher, side)
    whole.save(Path(out))
    return TaughtLanguages(whole, Path(out), side.facts["parallel"], report, seconds)


def own_language(matcher: Matcher) -> str:
    """Return the code of the language that the matcher's texts are in.

    Raises
    ------
    ConfigError
        If that is not known, or there are several.
    """
    spoken = matcher.open_text_encoder().languages
    if spoken is None or len(spoken) != 1:
        raise ConfigError(
            f"{matcher.name} reads texts by {matcher.text_encoder}, which is of no one language: "
            "train it on your pairs in their languages instead."
        )
    return spoken[0]


def beside(matcher: Matcher, side: TextSide) -> Any:
    """Return a matcher with a side for other languages, in place of any that it has."""
    whole: Any = matcher
    if matcher.retriever is matcher:
        return replace(whole, others=side)
    return replace(whole, first=replace(whole.first, others=side))


def taught(
    matcher: Matcher,
    splits: Mapping[str, PairSet],
    sentences: Sequence[Sentence],
    config: LanguagesConfig,
    features: str | Path | None = None,
) -> tuple[TextSide, Report]:
    """Return what reads other languages into the space of ``matcher``, of one stage, and recall.

    ``splits`` are train and dev, or none; raises as ``teach_languages``.
    """
    encoder: TextEncoder = TEXT_ENCODERS.load(config.text_encoder)(config.text_levels)
    if splits:  # what is measured on teaches nothing
        unseen = set(splits["dev"].texts)
        sentences = [sentence for sentence in sentences if unseen.isdisjoint(sentence)]
    texts = text_features([text for _, text, _ in sentences], encoder, features).pooled()
    parallel = texts, vectors_of_texts(matcher, [meant for *_, meant in sentences])
    drawn = dict(Counter(language for language, *_ in sentences))
    if not splits:
        tower = started(*parallel, config)
        side = side_of(matcher, encoder, tower, {"learnt": drawn, "parallel": drawn})
        return replace(side, **{name: getattr(matcher, name) for name in PROBABILITY}), {}
    dev = others_of(splits["dev"], own_language(matcher))
    tower, learnt = _learnt(matcher, encoder, splits["train"], dev, parallel, config, features)
    side = side_of(matcher, encoder, tower, {"learnt": learnt, "parallel": drawn})
    of_dev = features_for(side, dev, features)
    return calibrated(side, of_dev, config.seed), measured(side, of_dev)


def others_of(pairs: PairSet, own: str) -> PairSet:
    """Return the same pictures with the texts that are in other languages than ``own``.

    Raises
    ------
    ConfigError
        If there are none.
    """
    found = [caption for caption in captions_of(pairs, own) if caption[1] != own]
    if not found:
        raise ConfigError(
            f"The data name no text of {pairs.image_split[0]} in a language other than {own!r}: "
            "give a column language with codes such as de."
        )
    return with_captions(pairs, found)


def captions_of(pairs: PairSet, own: str) -> list[Caption]:
    """Return the captions of each picture in order; those without a language are in ``own``."""
    images, texts = pairs.truth.tocsr().nonzero()
    return [
        (int(image), pairs.languages.get(pairs.texts[text], own), pairs.texts[text])
        for image, text in zip(images, texts, strict=True)
    ]


def with_captions(pairs: PairSet, captions: Sequence[Caption]) -> PairSet:
    """Return the pictures of ``pairs``, all of one split, with these captions."""
    places = {text: place for place, text in enumerate(dict.fromkeys(c[2] for c in captions))}
    cells = [row for row, *_ in captions], [places[text] for *_, text in captions]
    shape = len(pairs.image_ids), len(places)
    return replace(
        pairs,
        texts=tuple(places),
        truth=sparse.csr_array((np.ones(len(captions), bool), cells), shape),
        text_split=np.full(len(places), pairs.image_split[0]),
        languages={text: language for _, language, text in captions},
    )


def few(captions: Iterable[Caption], most: int) -> Iterator[Caption]:
    """Yield the first ``most`` captions of each picture and language."""
    seen: Counter[tuple[int, str]] = Counter()
    for caption in captions:
        seen[caption[:2]] += 1
        if seen[caption[:2]] <= most:
            yield caption


class _Reading(nn.Module):
    """A two-sided network whose images are vectors already."""

    def __init__(self, tower: Tower, dim: int) -> None:
        super().__init__()
        self.text, self.dim = tower, dim

    def image(self, features: Tensor) -> Tensor:
        """Map (n, 1, dim) to (n, dim)."""
        return features[:, 0]


def _learnt(
    matcher: Matcher,
    encoder: TextEncoder,
    train: PairSet,
    dev: PairSet,
    parallel: tuple[FloatArray, FloatArray],
    config: LanguagesConfig,
    features: str | Path | None,
) -> tuple[Tower, dict[str, int]]:
    """Return what was trained on captions and sentences, and how many captions a language."""
    own = own_language(matcher)
    train, pictures = _readable(matcher, train, features)
    dev, of_dev = _readable(matcher, dev, features)
    captions = captions_of(train, own)
    teachers = list(few((c for c in captions if c[1] == own), config.teachers))
    wanted = unit(_meant(matcher, teachers, len(pictures)) + config.picture * unit(pictures))
    others = few((c for c in captions if c[1] != own), config.captions)
    learnt = with_captions(train, [*others, *few(teachers, 1)])
    texts = text_features(learnt.texts, encoder, features).pooled()
    owners = np.asarray(learnt.truth.argmax(axis=0)).ravel()
    said, meant = parallel
    tower = started(np.concatenate([texts, said]), np.concatenate([wanted[owners], meant]), config)
    train_network(
        _Reading(tower, matcher.dim),
        PairTensors(pictures[:, None], texts, learnt.truth),
        PairTensors(
            of_dev[:, None], text_features(dev.texts, encoder, features).pooled(), dev.truth
        ),
        Spans.whole(matcher.dim, texts.shape[1]),
        partial(recall_of_texts, dev.truth),
        FusionConfig(
            seed=config.seed,
            epochs=config.epochs,
            patience=config.patience,
            batch=config.batch,
            learning_rate=config.learning_rate,
            temperature=config.temperature,
        ),
    )
    return tower, dict(Counter(learnt.text_languages))


def _readable(
    matcher: Matcher, pairs: PairSet, features: str | Path | None
) -> tuple[PairSet, FloatArray]:
    kept, columns = picture_features(pairs, matcher.recipe, features)
    return kept, matcher.embed_images(columns)


def _meant(matcher: Matcher, teachers: Sequence[Caption], pictures: int) -> FloatArray:
    """Return the mean direction of each picture's captions, float32 (n, dim); 0 without one."""
    total = np.zeros((pictures, matcher.dim), np.float32)
    rows = [row for row, *_ in teachers]
    np.add.at(total, rows, vectors_of_texts(matcher, [text for *_, text in teachers]))
    return unit(total)


def vectors_of_texts(matcher: Matcher, texts: Sequence[str]) -> FloatArray:
    """Return unit vectors, float32 (m, dim), of texts in the matcher's own language."""
    if not texts:
        return np.zeros((0, matcher.dim), np.float32)
    return unit(matcher.embed_texts(text_features(texts, matcher.open_text_encoder())))


def started(features: FloatArray, targets: FloatArray, config: LanguagesConfig) -> Tower:
    """Return the network that starts from ridge regression on what each text is to be near."""
    mean, scale = statistics(features)
    z = standardised(features, mean, scale)
    gram = z.T @ z + config.ridge * len(z) * np.eye(z.shape[1])
    linear = np.linalg.solve(gram, z.T @ targets)
    torch.manual_seed(config.seed)
    shape = z.shape[1], targets.shape[1], config.hidden
    tower = Tower(*shape, config.dropout, config.input_dropout)
    for name, values in (("mean", mean), ("scale", scale), ("linear", linear)):
        getattr(tower, name).copy_(torch.from_numpy(values))
    return tower


def side_of(
    matcher: Matcher, encoder: TextEncoder, tower: Tower, facts: dict[str, Any]
) -> TextSide:
    """Return what was learnt as a ``TextSide`` of the matcher, without calibration."""
    return TextSide(
        name=matcher.name,
        of=matcher.fingerprint(),
        encoder=encoder.name,
        levels=encoder.levels,
        encoder_fingerprint=encoder.fingerprint(),
        tensors=rounded({name: x.detach().numpy() for name, x in tower.state_dict().items()}),
        base=matcher,
        facts=facts,
    )


def recall_of_texts(truth: sparse.csr_array, pictures: FloatArray, texts: FloatArray) -> float:
    """Return the sum of R@1, R@5 and R@10 of texts; some pictures have none."""
    ranks = best_ranks(dot_blocks(texts, pictures), truth.T.tocsr())
    return sum(recall_at(ranks, k) for k in CUTOFFS)


def measured(side: TextSide, dev: PairFeatures) -> Report:
    """Return the recall of pictures for the texts of each language, as JSON values."""
    pictures, texts = vectors(side, dev)
    unlearnt = [side.reading(code) is not side for code in dev.pairs.text_languages]
    if any(unlearnt):
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
    """Return what knows probabilities too, those of single words as of the matcher's own texts."""
    captioned = dev.of_images(np.flatnonzero(np.diff(dev.pairs.truth.tocsr().indptr)))
    embedded, truth = vectors(side, captioned), captioned.pairs.truth.tocsr()
    features = partial(features_of_pairs, embedded, captioned.pairs.texts)
    return replace(
        side,
        calibration=fit_calibration(*embedded, truth, seed=seed),
        keyword_calibration=side.base.keyword_calibration,
        **calibrate_pairs(captioned.pairs, features, seed),
    )
