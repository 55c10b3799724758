import json
import os
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score

from visita.errors import DataError
from visita.evaluation import keyword_queries, keywords
from visita.evaluation.keywords import find_nouns, precision_at

CAPTIONS = [  # two of each image
    ["A brown dog runs on the grass .", "The dog is running through tall grass."],
    ["Two dogs are playing in a field", "A black dog and a white dog in the snow ."],
    ["A young boy with a red ball.", "The little boy is holding a ball"],
    ["Three young boys on a wooden bench .", "A boy sits on the bench and laughs ."],
    ["A brown dog with a ball in the mouth", "The young dog is running with a red ball"],
    ["two benches in the snow", "A bench is covered with white snow."],
]


def toy():
    texts = [text for of_image in CAPTIONS for text in of_image]
    truth = np.kron(np.eye(len(CAPTIONS), dtype=int), np.ones((1, 2), dtype=int)).astype(bool)
    return texts, sparse.csr_array(truth)


def test_queries_are_nouns_in_the_singular_with_the_images_that_hold_them_twice():
    texts, truth = toy()
    found = keyword_queries(texts, truth, images=1)
    relevant = {
        noun: np.flatnonzero(row).tolist()
        for noun, row in zip(found.nouns, found.relevance.toarray(), strict=True)
    }
    assert relevant == {
        "dog": [0, 1, 4],
        "bench": [3, 5],
        "ball": [2, 4],
        "boy": [2, 3],
        "grass": [0],
        "snow": [5],
    }
    assert found.nouns[0] == "dog"  # most images first
    counts = found.relevance.sum(axis=1)
    assert counts.tolist() == sorted(counts, reverse=True)
    assert keyword_queries(texts, truth, images=3).nouns == ("dog",)
    assert "field" in keyword_queries(texts, truth, captions=1, images=1).nouns


def test_plurals_are_folded_only_into_words_that_the_texts_hold():
    _, [words] = find_nouns(["dogs and a dog, two buses near a busy bus; grass and men, ladies"])
    assert " ".join(words) == ". dog and a dog . two bus near a busy bus . grass and man . ladies ."


def test_texts_without_enough_nouns_are_refused():
    texts, truth = toy()
    with pytest.raises(DataError, match="more images"):
        keyword_queries(texts, truth, images=4)
    with pytest.raises(DataError, match="same split"):
        keyword_queries(texts[1:], truth)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 10])
def test_precision_is_the_mean_over_the_orders_of_equal_scores(k):
    scores = np.array([3, 1, 1, 2, 1, 2], np.float32)
    relevant = np.array([False, True, False, True, False, False])
    shares = []
    for order in permutations(range(6)):
        ranked = sorted(order, key=lambda item: -scores[item])[:k]  # stable: ties in this order
        shares.append(np.mean([relevant[item] for item in ranked]))
    assert precision_at(scores, relevant, k) == pytest.approx(np.mean(shares))


def test_metrics_are_means_over_words():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 6)).astype(np.float32)
    queries = rng.normal(size=(9, 6)).astype(np.float32)
    relevance = rng.random((9, 40)) < 0.3
    relevance[:, 0] = True
    found = keywords(images, queries, sparse.csr_array(relevance), seed=0).to_dict()
    scores = queries @ images.T
    expected = {"mAP": [], "P@10": [], "R-precision": [], "hit@1": []}
    for row, true in zip(scores, relevance, strict=True):
        ranked = true[np.argsort(-row)]
        expected["mAP"].append(average_precision_score(true, row))
        expected["P@10"].append(ranked[:10].mean())
        expected["R-precision"].append(ranked[: true.sum()].mean())
        expected["hit@1"].append(ranked[0])
    assert json.loads(json.dumps(found))["words"] == 9
    for name, values in expected.items():
        assert found[name]["value"] == pytest.approx(100 * np.mean(values))
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_a_collapsed_matcher_is_at_chance_and_a_word_without_images_is_refused():
    relevance = np.zeros((3, 20), dtype=bool)
    relevance[:, :5] = True  # stored first, where a careless sort would look first
    images, queries = np.ones((20, 4), np.float32), np.ones((3, 4), np.float32)
    found = keywords(images, queries, sparse.csr_array(relevance), seed=0).to_dict()
    assert {found[name]["value"] for name in ("mAP", "P@10", "R-precision", "hit@1")} == {25}
    relevance[1] = False
    with pytest.raises(DataError, match="no relevant image"):
        keywords(images, queries, sparse.csr_array(relevance), seed=0)


def flickr8k_dev():
    folder = Path(os.environ["VISITA_DATA"]) / "flickr8k"
    names = (folder / "Flickr_8k.devImages.txt").read_text("utf-8").split()
    rows = {name: row for row, name in enumerate(names)}
    texts, owners = [], []
    for line in (folder / "Flickr8k.token.txt").read_text("utf-8").splitlines():
        key, text = line.split("\t")
        if key.split("#")[0] in rows:
            texts.append(text)
            owners.append(rows[key.split("#")[0]])
    truth = np.zeros((len(names), len(texts)), dtype=bool)
    truth[owners, np.arange(len(texts))] = True
    return texts, sparse.csr_array(truth)


@pytest.mark.skipif(
    not (Path(os.environ.get("VISITA_DATA", "")) / "flickr8k" / "Flickr8k.token.txt").is_file(),
    reason="needs Flickr8k: set VISITA_DATA",
)
def test_the_words_found_in_flickr8k_are_nouns():
    texts, truth = flickr8k_dev()
    found = keyword_queries(texts, truth)
    nouns = set(found.nouns)
    assert 80 <= len(nouns) <= 120
    assert nouns >= {"dog", "man", "woman", "boy", "girl", "child", "water", "ball", "snow"}
    assert nouns >= {"grass", "bike", "beach"}
    assert not nouns & {"young", "little", "black", "white", "brown", "red", "large", "colorful"}
    assert not nouns & {"running", "jumps", "playing", "standing", "wearing", "smiling"}
    assert not nouns & {"other", "group", "front", "top", "background", "two", "of"}
    assert not nouns & {"dogs", "men", "short", "busy"}  # folded wrongly, or not at all
    assert found.relevance.sum(axis=1).min() >= 5
    dog = found.relevance[[found.nouns.index("dog")]].toarray()[0]
    for image in np.flatnonzero(dog)[:50]:
        held = ["dog" in texts[t].lower() for t in truth[[image]].indices]
        assert sum(held) >= 2
