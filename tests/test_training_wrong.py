"""Pairs that were marked wrong: they count, and none of them is learnt from and measured on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from marked_wrong import refused
from scipy import sparse

pytest.importorskip("torch")

import visita
from visita.evaluation.measure import features_for, vectors
from visita.training.config import AdaptConfig
from visita.training.wrong import kept_apart, on_its_side

SETTINGS = AdaptConfig(epochs=8, batch=32, learning_rate=1e-3)


@pytest.mark.slow
def test_what_is_marked_wrong_falls_behind_what_is_right(drawn_pairs, tmp_path):
    wrong = refused(drawn_pairs, "visita-small")
    found = visita.adapt("visita-small", drawn_pairs, tmp_path / "a", config=SETTINGS, wrong=wrong)
    comparison = found.comparison
    assert comparison["wrong"] == int(wrong.truth[:, drawn_pairs.text_split == "train"].nnz)
    gain = comparison["difference"]["right_above_wrong"]
    assert gain["low"] > 0 and comparison["difference"]["rsum"]["low"] > 0
    without = visita.adapt("visita-small", drawn_pairs, tmp_path / "b", config=SETTINGS)
    assert without.comparison["wrong"] == 0
    side = on_its_side(wrong, drawn_pairs)
    share = {}
    for name, matcher in (("with", found.matcher), ("without", without.matcher)):
        each = [
            vectors(matcher, features_for(matcher, part.take("test"), None))
            for part in (drawn_pairs, side)
        ]
        truths = (part.take("test").truth.tocsr() for part in (drawn_pairs, side))
        share[name] = kept_apart(each, each, *truths, 0)["after"]["value"]
    assert share["with"] == pytest.approx(comparison["after"]["right_above_wrong"]["value"])
    assert share["with"] > share["without"]


def test_a_wrong_pair_is_where_its_picture_and_its_text_are(drawn_pairs):
    splits = {s: np.flatnonzero(drawn_pairs.image_split == s) for s in ("train", "test")}
    texts = {s: np.flatnonzero(drawn_pairs.text_split == s) for s in ("train", "test")}
    true = drawn_pairs.truth.tocsr()[[splits["train"][2]]].indices[0]
    places = [
        (splits["train"][0], texts["train"][-1]),
        (splits["train"][1], texts["test"][0]),  # on two sides
        (splits["test"][0], texts["test"][-1]),
        (splits["train"][2], true),
    ]
    marked = np.zeros(drawn_pairs.truth.shape, bool)
    marked[tuple(np.transpose(places))] = True
    wrong = replace(drawn_pairs, truth=sparse.csr_array(marked))
    found = on_its_side(wrong, drawn_pairs)
    assert found.splits() == {"train": 1, "dev": 0, "test": 1}
    assert set(found) == {
        (drawn_pairs.image_paths[image], drawn_pairs.texts[text])
        for image, text in (places[0], places[2])
    }


def test_how_many_true_pairs_are_above_a_wrong_one_is_counted():
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        return tuple(rng.normal(size=(count, 4)).astype(np.float32) for _ in "ab")

    of_true, before, after = drawn(7), drawn(5), drawn(5)
    truth, wrong = (sparse.csr_array(np.eye(count, dtype=bool)) for count in (7, 5))
    found = kept_apart((of_true, before), (of_true, after), truth, wrong, 0)
    true = [float(i @ t) for i, t in zip(*of_true, strict=True)]
    for name, pairs in (("before", before), ("after", after)):
        above = [t > i @ x for i, x in zip(*pairs, strict=True) for t in true]
        assert found[name]["value"] == pytest.approx(100 * np.mean(above))
    gain = found["after"]["value"] - found["before"]["value"]
    assert found["difference"]["value"] == pytest.approx(gain)
    alone = sparse.csr_array(np.eye(1, dtype=bool))
    one = tuple(side[:1] for side in before)
    assert kept_apart((of_true, one), (of_true, one), truth, alone, 0) == {}
