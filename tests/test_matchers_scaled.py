"""Local scaling: beside plain loops, saved to the bit, and what it does to search and hubs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forging import forge
from scipy import sparse
from standin import ColourMeans, LetterCounts, draw_noise
from test_matchers_fused import drawn

from visita.data.decode import decode
from visita.errors import ArtifactError
from visita.evaluation import retrieval
from visita.gallery.gallery import StoredGallery
from visita.matchers import load
from visita.matchers.combine import BANK, FusedMatcher, ScaledMatcher, nearness
from visita.matchers.probability import Calibration
from visita.matchers.shares import added, split
from visita.search.query import Query
from visita.search.search import search_snapshots
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.training.scaling import A_NEIGHBOUR, LEAST, bank_rows, locally_scaled
from visita.types import FloatArray, Recipe, TextFeatures
from visita.vectors import in_bytes, unit

pytestmark = pytest.mark.slow

RECIPE = Recipe({"efficientnet-lite0": ("block10:avg", "head:avg")}, mirror=True)
TEXTS = ["an astronaut", "a cat and a book", "coffee " * 600]


def some_units(n: int, d: int, seed: int) -> FloatArray:
    return unit(np.random.default_rng(seed).normal(size=(n, d)))


@pytest.fixture(scope="module")
def matcher(sentences) -> ScaledMatcher:
    part = drawn(RECIPE, sentences, 24, 4)
    images, texts = (some_units(9, part.dim, seed).astype(np.float16) for seed in (1, 2))
    return ScaledMatcher(
        name="scaled",
        part=part,
        images=images,
        texts=texts,
        neighbours=3,
        least=0.05,
        threshold=0.25,
        calibration=Calibration(1.5, 20.0, -0.75),
        facts={"note": "naïve"},
    )


@pytest.fixture(scope="module")
def columns(photographs) -> Mapping[str, np.ndarray]:
    return RecipeEncoder(RECIPE).encode_pictures([decode(path) for path in photographs])


@pytest.fixture(scope="module")
def texts(sentences) -> TextFeatures:
    return sentences.encode(TEXTS)


@pytest.fixture
def saved(matcher, tmp_path) -> Path:
    matcher.save(tmp_path / "scaled")
    return tmp_path / "scaled"


def naive_nearness(vector: np.ndarray, bank: np.ndarray, neighbours: int) -> float:
    inner = sorted((float(sum(vector * one)) for one in bank), reverse=True)
    return sum(inner[:neighbours]) / neighbours


def test_the_contract(matcher, columns, texts):
    check_matcher(matcher, columns, texts)


def test_scores_are_divided_by_the_roots_of_how_near_either_side_comes(matcher, columns, texts):
    images, words = matcher.part.embed_images(columns), matcher.part.embed_texts(texts)
    found = matcher.embed_images(columns) @ matcher.embed_texts(texts).T
    bank = matcher.images.astype(np.float64), matcher.texts.astype(np.float64)
    of_images = [max(0.05, naive_nearness(one, bank[1], 3)) for one in images]
    of_texts = [max(0.05, naive_nearness(one, bank[0], 3)) for one in words]
    for i, image in enumerate(images):
        for j, text in enumerate(words):
            expected = image @ text * 0.05 / np.sqrt(of_images[i] * of_texts[j])
            assert found[i, j] == pytest.approx(expected, abs=1e-5)
    assert len({round(one, 6) for one in [*of_images, *of_texts]}) > 2  # some are above least


def test_directions_are_those_of_its_part(matcher, columns, texts):
    assert unit(matcher.embed_images(columns)) == pytest.approx(
        matcher.part.embed_images(columns), abs=1e-6
    )
    assert unit(matcher.embed_texts(texts)) == pytest.approx(
        matcher.part.embed_texts(texts), abs=1e-6
    )


@pytest.mark.parametrize("neighbours", [1, 2, 7])
def test_nearness_is_the_mean_of_the_nearest(neighbours):
    vectors, bank = some_units(5, 4, 0), some_units(7, 4, 1)
    expected = [naive_nearness(one, bank, neighbours) for one in vectors]
    assert nearness(vectors, bank, neighbours) == pytest.approx(expected, abs=1e-6)
    assert nearness(vectors[:0], bank, neighbours).shape == (0,)


def test_saved_and_loaded_it_is_the_same_to_the_bit(matcher, saved, columns, texts):
    again = load(saved)
    assert isinstance(again, ScaledMatcher)
    assert again.fingerprint() == matcher.fingerprint()
    assert np.array_equal(again.embed_images(columns), matcher.embed_images(columns))
    assert np.array_equal(again.embed_texts(texts), matcher.embed_texts(texts))
    for name in ("name", "threshold", "calibration", "facts", "neighbours", "least", "recipe"):
        assert getattr(again, name) == getattr(matcher, name)


def test_fingerprints_follow_what_decides_the_vectors(matcher):
    others = [
        replace(matcher, neighbours=2),
        replace(matcher, least=0.06),
        replace(matcher, texts=matcher.images),
        replace(matcher, images=matcher.texts),
        replace(matcher, part=replace(matcher.part, text_levels=("layer6", "layer3"))),
    ]
    assert len({matcher.fingerprint(), *(one.fingerprint() for one in others)}) == 6
    assert replace(matcher, name="other", facts={}).fingerprint() == matcher.fingerprint()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"neighbours": 0}, "0 neighbours"),
        ({"neighbours": 10}, "10 neighbours"),
        ({"least": 0.0}, "least=0"),
        ({"least": float("nan")}, "least=nan"),
        ({"images": np.zeros((9, 7), np.float16)}, "cannot be"),
        ({"texts": np.full((9, 24), np.inf, np.float16)}, "not finite"),
    ],
)
def test_a_bank_that_does_not_suit_is_refused(matcher, changes, problem):
    with pytest.raises(ArtifactError, match=problem):
        replace(matcher, **changes)


@pytest.mark.parametrize("change", [{"neighbours": "three"}, {"least": None}, {"neighbours": 99}])
def test_a_folder_that_does_not_suit_is_refused(saved, change):
    forge(saved, **change)
    with pytest.raises(ArtifactError):
        load(saved)


def test_a_bank_in_bytes_gives_nearly_the_same_lengths(matcher, tmp_path):
    bank = {"images": in_bytes(matcher.bank[0]), "texts": in_bytes(matcher.bank[1])}
    smaller = replace(matcher, **bank)
    vectors = some_units(20, matcher.part.dim, 5)
    assert np.allclose(smaller.image_lengths(vectors), matcher.image_lengths(vectors), rtol=0.02)
    smaller.save(tmp_path / "smaller")
    again = load(tmp_path / "smaller")
    assert again.fingerprint() == smaller.fingerprint() != matcher.fingerprint()
    assert again.images.dtype == np.int8
    assert np.array_equal(again.text_lengths(vectors), smaller.text_lengths(vectors))


def test_a_folder_without_its_bank_is_refused(saved):
    (saved / BANK).unlink()
    with pytest.raises(ArtifactError):
        load(saved)


def test_kernels_of_the_part_add_up_to_the_scaled_score(matcher, columns, sentences):
    both = FusedMatcher(
        name="both",
        parts=(matcher.part, drawn(RECIPE, sentences, 16, 5)),
        weights=(0.6, 0.4),
    )
    banks = [some_units(9, both.dim, seed).astype(np.float16) for seed in (3, 4)]
    scaled = replace(matcher, part=both, images=banks[0], texts=banks[1])
    joined = both.open_text_encoder().encode(TEXTS)
    parts = split(scaled)
    images, words = parts.images(columns), parts.texts(joined)
    scores = (scaled.embed_images(columns) * scaled.embed_texts(joined)).sum(1)
    assert list(parts.kernels) == [one.name for one in both.parts]
    assert added(images, words).sum(1) == pytest.approx(scores, abs=1e-5)
    assert split(matcher).images(columns).sum(1) == pytest.approx(
        matcher.embed_images(columns), abs=1e-5
    )


def test_fused_its_score_counts_as_it_is(matcher, columns, texts, sentences):
    other = drawn(RECIPE, sentences, 16, 5)
    both = FusedMatcher(name="both", parts=(matcher, other), weights=(0.6, 0.4))
    found = both.embed_images(columns) @ both.embed_texts(texts).T
    own = [m.embed_images(columns) @ m.embed_texts(texts).T for m in (matcher, other)]
    assert found == pytest.approx(0.6 * own[0] + 0.4 * own[1], abs=1e-5)


class Shortened:
    """The stand-in's vectors, every picture of another length."""

    def __init__(self, matcher):
        self._matcher = matcher

    def __getattr__(self, name):
        return getattr(self._matcher, name)

    def embed_images(self, columns):
        vectors = self._matcher.embed_images(columns)
        # By what the picture is, so that it does not depend on those beside it.
        return vectors * (0.2 + 0.8 * np.abs(vectors[:, :1]))


def test_pictures_are_alike_by_direction_whatever_their_length(tmp_path):
    from standin import LinearMatcher, of_vector  # noqa: PLC0415 - beside its use

    encoder = ColourMeans()
    matcher = Shortened(LinearMatcher(encoder.recipe))
    for i in range(20):
        draw_noise(tmp_path / "pictures" / f"{i:02d}.png", i)
    gallery = StoredGallery.open(tmp_path / "pictures", home=tmp_path)
    gallery.sync(matcher, encoder)
    snapshot = gallery.snapshot(matcher.fingerprint())
    lengths = np.linalg.norm(snapshot.vectors, axis=1)
    assert lengths.min() < 0.5 * lengths.max()
    row = int(lengths.argmin())
    query = unit(snapshot.vectors[row : row + 1])[0]
    found = search_snapshots(of_vector(query, matcher, "picture"), [snapshot], 20)
    cosines = unit(snapshot.vectors) @ query
    assert found[0].path == Path(snapshot.paths[row])
    assert [m.score for m in found] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)
    text = Query.from_texts(["a red circle"], LetterCounts(), matcher).pooled()
    by_text = search_snapshots(of_vector(text, matcher), [snapshot], 1)
    assert by_text[0].path == Path(snapshot.paths[int((snapshot.vectors @ text).argmax())])


def test_a_query_is_as_long_as_its_parts():
    short, long = np.array([0.3, 0.0], np.float32), np.array([0.0, 0.9], np.float32)
    assert np.allclose(Query.from_vectors(short[None]).pooled(), short)
    both = Query.from_vectors(np.stack([short, long]), [3, 1]).pooled()
    assert np.allclose(both / np.linalg.norm(both), np.array([0.9, 0.9]) / np.hypot(0.9, 0.9))
    assert np.linalg.norm(both) == pytest.approx((3 * 0.3 + 0.9) / 4)
    unknown = Query.from_vectors(np.stack([short, 0 * long]), [1, 1]).pooled()
    assert np.allclose(unknown, short)


def rsum_of(truth: sparse.csr_array):
    return lambda images, texts: retrieval(images, texts, truth, seed=0).rsum.value


def hubs(seed: int, n: int) -> tuple[FloatArray, FloatArray]:
    """Return vectors of n pairs; every fourth picture is near to all texts."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(n, 16))
    images, texts = unit(own + rng.normal(size=own.shape)), unit(own + 1)
    images[::4] = unit(images[::4] + 0.8)
    return images, texts


def test_hubs_are_found_less_often():
    bank, dev = hubs(0, 600), hubs(1, 200)
    truth = sparse.csr_array(np.eye(200, dtype=bool))
    part = Fixed(16)
    found = locally_scaled(part, bank, dev, rsum_of(truth), 10)
    assert isinstance(found, ScaledMatcher) and found.neighbours == 10
    assert LEAST <= found.least < 1
    images, texts = dev[0] * found.image_lengths(dev[0]), dev[1] * found.text_lengths(dev[1])
    firsts = [
        np.bincount((s).argmax(0), minlength=200)[::4].sum()
        for s in (dev[0] @ dev[1].T, images @ texts.T)
    ]
    assert firsts[1] < 0.8 * firsts[0]  # 50 of 200 pictures are hubs
    assert rsum_of(truth)(images, texts) > rsum_of(truth)(*dev)


class Fixed:
    """What a scaled matcher asks of its part before it embeds anything."""

    name = "fixed"

    def __init__(self, dim: int) -> None:
        self.dim = dim


def test_what_is_no_better_stays_as_it_was():
    bank, dev = hubs(0, 600), hubs(1, 200)
    part = Fixed(16)
    assert locally_scaled(part, bank, dev, lambda *_: 1.0, 10) is part
    assert locally_scaled(part, bank, dev, lambda images, _: -float(images.sum()), 0) is part
    none = bank[0][:0], bank[1][:0]
    assert locally_scaled(part, none, dev, lambda images, _: -float(images.sum()), 10) is part


@pytest.mark.parametrize(("size", "neighbours"), [(3, 1), (A_NEIGHBOUR * 4, 4), (1000, 10)])
def test_a_small_bank_has_few_neighbours(size, neighbours):
    bank, dev = hubs(0, size), hubs(1, 50)
    shorter = lambda images, _: -float(np.abs(images).sum())  # noqa: E731 - scaling shortens
    found = locally_scaled(Fixed(16), bank, dev, shorter, 10)
    assert isinstance(found, ScaledMatcher) and found.neighbours == neighbours


def test_a_bank_has_each_picture_once_with_a_text_of_its_own():
    truth = sparse.csr_array(np.kron(np.eye(2500), np.ones((1, 3))).astype(bool))
    truth = sparse.csr_array(truth.toarray() & (np.arange(2500) % 5 > 0)[:, None])
    images, texts = bank_rows(truth, 0)
    assert len(set(images.tolist())) == len(images) == len(texts) == 2000
    assert truth[images, texts].all() and len(set((texts % 3).tolist())) == 3
    assert np.array_equal(bank_rows(truth, 0)[1], texts)
    assert not np.array_equal(bank_rows(truth, 1)[1], texts)
