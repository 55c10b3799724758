"""Long texts: passages, how far they agree, and the picture that several of them mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from standin import ColourMeans, LetterCounts, LinearMatcher

from visita.data.articles import articles
from visita.data.readers import open_pairs
from visita.matchers import load
from visita.search.passages import (
    AGREEING,
    MAX_PASSAGES,
    MAX_WORDS,
    STEPS,
    agreement,
    passages,
    text_vectors,
    unit,
)
from visita.search.query import AT_ONCE, Query
from visita.store.extract import pair_features

pytestmark = pytest.mark.slow

MATCHER = LinearMatcher(ColourMeans().recipe)


def embed(texts) -> np.ndarray:
    return MATCHER.embed_texts(LetterCounts().encode(texts))


def directions(rng: np.random.Generator, rows: int, width: int = 24) -> np.ndarray:
    return unit(rng.standard_normal((rows, width)))


def test_passages_are_the_sentences_each_once_in_order():
    text = "A dog runs. It is wet!\nA cat sleeps. A dog runs. Nobody knows why"
    assert passages(text) == ["A dog runs.", "It is wet!", "A cat sleeps.", "Nobody knows why"]
    assert passages("dog beach") == ["dog beach"]
    assert passages(" \n ") == []


def test_a_sentence_without_end_is_cut_and_no_word_is_lost():
    words = [f"word{i}" for i in range(2 * MAX_WORDS + 5)]
    parts = passages(" ".join(words) + "\nA short one.")
    assert [word for part in parts[:-1] for word in part.split()] == words
    lengths = [len(part.split()) for part in parts[:-1]]
    assert max(lengths) <= MAX_WORDS
    assert max(lengths) - min(lengths) <= 1
    assert parts[-1] == "A short one."


def test_a_megabyte_has_longer_passages_and_no_word_is_lost():
    lines = [f"Line {i} says that boat {i % 97} sails past the harbour." for i in range(20_000)]
    text = "\n".join(lines)
    assert len(text) > 1_000_000
    parts = passages(text)
    assert len(parts) == MAX_PASSAGES
    assert " ".join(parts).split() == text.split()


def naive_agreement(vectors: np.ndarray) -> list[float]:
    low, high = AGREEING
    count = len(vectors)
    weights = [1 / count] * count
    for _ in range(STEPS):
        fresh = []
        for i in range(count):
            total = 0.0
            for j in range(count):
                cosine = sum(float(a) * float(b) for a, b in zip(vectors[i], vectors[j]))  # noqa: B905
                link = min(max((cosine - low) / (high - low), 0.0), 1.0) if i != j else 0.0
                total += (link + 1 / count) * weights[j]
            fresh.append(total)
        weights = [one / sum(fresh) for one in fresh]
    return weights


@pytest.mark.parametrize("rows", [1, 2, 3, 13])
def test_agreement_is_that_of_its_definition(rows):
    rng = np.random.default_rng(rows)
    vectors = unit(directions(rng, 1) + 0.8 * directions(rng, rows))
    weights = agreement(vectors)
    assert weights.dtype == np.float32
    assert np.allclose(weights, naive_agreement(vectors), atol=1e-5)
    assert weights.sum() == pytest.approx(1, abs=1e-5)


def test_agreement_comes_near_the_leading_eigenvector():
    rng = np.random.default_rng(1)
    cluster = unit(directions(rng, 1) + 0.5 * directions(rng, 6))
    vectors = np.concatenate([cluster, directions(rng, 30)])
    low, high = AGREEING
    links = np.clip((vectors @ vectors.T - low) / (high - low), 0, 1)
    np.fill_diagonal(links, 0)
    leading = np.abs(np.linalg.eigh(links + 1 / len(links))[1][:, -1])
    assert np.allclose(agreement(vectors), leading / leading.sum(), atol=1e-3)
    assert agreement(vectors)[:6].sum() > 0.7


def test_one_or_two_passages_and_unrelated_ones_count_alike():
    basis = np.eye(8, dtype=np.float32)
    assert agreement(basis[:1]).tolist() == [1]
    assert np.allclose(agreement(unit(basis[:2] + basis[2:3])), 0.5)
    assert np.allclose(agreement(basis), 1 / 8)
    assert np.allclose(agreement(np.zeros((4, 8), np.float32)), 1 / 4)


def test_a_text_of_one_sentence_is_searched_with_exactly_its_own_vector():
    query = Query.from_texts(passages("A red circle"), LetterCounts(), MATCHER)
    [own] = embed(["A red circle"])
    assert np.array_equal(query.vectors, own[None])
    assert np.array_equal(query.pooled(), Query.from_vectors(own[None]).pooled())


def test_what_several_passages_say_outweighs_what_one_says():
    rng = np.random.default_rng(2)
    pictures = directions(rng, 200)
    said = [unit(pictures[7:8] + 0.5 * directions(rng, 1)) for _ in range(5)]
    foreign = [unit(pictures[[i]] + 0.5 * directions(rng, 1)) for i in range(50, 80)]
    vectors = np.concatenate([*said, *foreign])[rng.permutation(35)]
    assert int(np.argmax(pictures @ Query(vectors, agreement(vectors)).pooled())) == 7


def test_many_texts_at_once_are_each_the_query_of_its_passages():
    texts = ["A dog runs. It is wet. A dog ran.", "snow", "", "A cat. A red cat sat. Zzz zz."]
    found = text_vectors(texts, embed)
    for row, text in enumerate(texts):
        parts = passages(text) or [text]
        vectors = embed(parts)
        searched = Query(vectors, agreement(vectors)).known()
        assert np.allclose(found[row], searched, atol=1e-6)
    assert text_vectors(["a b. c"], lambda some: np.zeros((len(some), 3))).tolist() == [[0, 0, 0]]


def test_how_long_vectors_are_says_nothing_of_how_far_they_agree():
    rng = np.random.default_rng(3)
    vectors = unit(directions(rng, 1) + 0.8 * directions(rng, 9))
    lengths = rng.uniform(0.2, 1, (9, 1)).astype(np.float32)
    weights = agreement(lengths * vectors)
    assert np.allclose(weights, agreement(vectors), atol=1e-6)
    said = {f"Boat {n} sails.": one for n, one in enumerate(lengths * vectors)}
    [found] = text_vectors([" ".join(said)], lambda some: np.stack([said[one] for one in some]))
    assert np.linalg.norm(found) == pytest.approx((weights @ lengths).item(), abs=1e-6)
    assert np.allclose(unit(found[None]), unit(weights[None] @ (lengths * vectors)), atol=1e-6)


def test_many_passages_are_embedded_in_parts_and_in_order():
    texts = [f"{'abcdefgh'[i % 8] * (1 + i % 5)} {i}" for i in range(2 * AT_ONCE + 3)]
    assert np.array_equal(Query.from_texts(texts, LetterCounts(), MATCHER).vectors, embed(texts))


def test_real_articles_keep_four_fifths_of_clean_captions_beside_thirty_foreign_ones(flickr8k):
    dev = open_pairs(f"flickr8k:{flickr8k}").take("dev")
    some = dev.subset(np.sort(np.random.default_rng(0).choice(1000, 80, replace=False)))
    matcher = load("visita-small")
    known = pair_features(some, matcher.recipe, matcher.open_text_encoder())
    images, captions = matcher.embed_images(known.columns), matcher.embed_texts(known.texts)
    rows = {passages(text)[0]: row for row, text in enumerate(known.pairs.texts)}

    def first(noise: int, weigh: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return R@1 of the articles: ten of 1,000 pictures are about one of 80."""
        texts = articles(known.pairs, noise, 3).texts
        parts = [captions[[rows[one] for one in passages(text) if one in rows]] for text in texts]
        queries = np.array([weigh(vectors) @ vectors for vectors in parts])
        return float(np.mean(np.argmax(queries @ images.T, axis=1) == np.arange(80)))

    clean = first(0, agreement)
    assert clean > 0.6
    assert first(30, agreement) > 0.8 * clean
    assert first(30, lambda vectors: np.ones(len(vectors))) < 0.8 * clean
