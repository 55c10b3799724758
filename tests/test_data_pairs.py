"""Splits and pair sets, against naive loops."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from visita.data import PairSet, split_by_component
from visita.data.pairs import label_components
from visita.errors import DataError, UnknownNameError
from visita.types import Skipped


def random_truth(rng):
    images, texts = rng.integers(1, 40, 2)
    return sparse.csr_array(rng.random((images, texts)) < rng.choice([0.01, 0.05, 0.2]))


def naive_components(truth):
    """Union-find over images and texts by the book; returns a root for each."""
    images, texts = truth.shape
    parent = list(range(images + texts))

    def root(node):
        while parent[node] != node:
            node = parent[node]
        return node

    dense = truth.toarray()
    for image in range(images):
        for text in range(texts):
            if dense[image, text]:
                parent[root(image)] = root(images + text)
    return [root(node) for node in range(images + texts)]


@pytest.mark.parametrize("seed", range(40))
def test_components_are_those_of_union_find(seed):
    truth = random_truth(np.random.default_rng(seed))
    labels = np.concatenate(label_components(truth))
    roots = naive_components(truth)
    assert len(set(zip(labels, roots, strict=True))) == len(set(roots)) == len(set(labels))
    assert labels.min() == 0 and labels.max() == len(set(labels)) - 1


@pytest.mark.parametrize("seed", range(40))
def test_no_component_straddles_and_counts_come_near(seed):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    fractions = tuple(rng.dirichlet([5, 2, 2]))
    image_split, text_split = split_by_component(truth, fractions, seed)
    sides = {}
    for root, side in zip(naive_components(truth), [*image_split, *text_split], strict=True):
        assert sides.setdefault(root, side) == side
    image_roots = naive_components(truth)[: truth.shape[0]]
    sizes = [image_roots.count(root) for root in set(image_roots)]
    for name, fraction in zip(("train", "dev", "test"), fractions, strict=True):
        count = (image_split == name).sum()
        if len(sizes) >= 3:
            assert count > 0
        # No side is missing or exceeding more than the one piece that cannot be cut.
        assert abs(count - fraction * truth.shape[0]) <= max(sizes) + 2


def test_many_single_images_meet_the_fractions_exactly():
    image_split, text_split = split_by_component(sparse.eye_array(1000, dtype=bool, format="csr"))
    names, counts = np.unique(image_split, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"train": 700, "dev": 150, "test": 150}
    assert (image_split == text_split).all()


@pytest.mark.parametrize(("images", "sizes"), [(1, [1]), (2, [1, 1]), (3, [1, 1, 1])])
def test_few_images_fill_train_first(images, sizes):
    image_split, _ = split_by_component(sparse.eye_array(images, dtype=bool, format="csr"))
    found = [int((image_split == name).sum()) for name in ("train", "dev", "test")]
    assert [size for size in found if size] == sizes
    assert found[0] == 1


def test_a_split_without_a_fraction_stays_empty():
    image_split, _ = split_by_component(
        sparse.eye_array(10, dtype=bool, format="csr"), (0.8, 0.2, 0.0)
    )
    assert sorted(image_split.tolist()) == ["dev"] * 2 + ["train"] * 8


def test_the_seed_decides():
    truth = sparse.eye_array(50, dtype=bool, format="csr")
    one, again, other = (split_by_component(truth, seed=seed)[0] for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(DataError, match="sum 1"):
        split_by_component(sparse.eye_array(5, dtype=bool, format="csr"), fractions)


def make_pairs(**changes):
    """Return 4 images and 5 texts: text 1 matches images 0 and 2, image 3 has no text."""
    dense = np.zeros((4, 5), dtype=bool)
    for image, text in [(0, 0), (0, 1), (2, 1), (1, 2), (1, 3), (2, 4)]:
        dense[image, text] = True
    parts = {
        "source": "test:here",
        "image_ids": ("a.jpg", "b.jpg", "c.jpg", "d.jpg"),
        "image_paths": tuple(Path("/one") / name for name in "abcd"),
        "texts": ("A", "both", "B", "B again", "C"),
        "truth": sparse.csr_array(dense),
        "image_split": np.array(["train", "dev", "train", "dev"]),
        "text_split": np.array(["train", "train", "dev", "dev", "train"]),
        "problems": (Skipped("x", "is odd"),),
    }
    return PairSet(**parts | changes)


def test_take_keeps_order_and_truth():
    pairs = make_pairs()
    assert pairs.splits() == {"train": 2, "dev": 2, "test": 0}
    train, dev = pairs.take("train"), pairs.take("dev")
    assert train.image_ids == ("a.jpg", "c.jpg")
    assert train.image_paths == (Path("/one/a"), Path("/one/c"))
    assert train.texts == ("A", "both", "C")
    assert train.truth.toarray().tolist() == [[1, 1, 0], [0, 1, 1]]
    assert set(train.image_split) == set(train.text_split) == {"train"}
    assert dev.texts == ("B", "B again")
    assert dev.truth.toarray().tolist() == [[1, 1], [0, 0]]
    assert train.truth.dtype == np.bool_


def test_take_of_nothing_names_the_sizes():
    with pytest.raises(DataError, match=r"split 'test'.*train 2, dev 2, test 0"):
        make_pairs().take("test")


@pytest.mark.parametrize("split", ["tset", "", 3])
def test_take_of_no_split_names_the_nearest(split):
    with pytest.raises(UnknownNameError, match="split is train, dev, test") as caught:
        make_pairs().take(split)
    assert ("Did you mean 'test'?" in str(caught.value)) == (split == "tset")


def test_subset_takes_images_in_the_order_given_and_their_texts():
    chosen = make_pairs().subset(np.array([2, 0]))
    assert chosen.image_ids == ("c.jpg", "a.jpg")
    assert chosen.texts == ("A", "both", "C")
    assert chosen.truth.toarray().tolist() == [[0, 1, 1], [1, 1, 0]]
    assert make_pairs().subset(np.array([3])).texts == ()
    everything = make_pairs(problems=())
    assert everything.subset(np.arange(4)).fingerprint() == everything.fingerprint()


def test_components_join_what_shares_a_text():
    images, texts = make_pairs().components()
    assert images.tolist() == [0, 1, 0, 2]
    assert texts.tolist() == [0, 0, 1, 1, 0]


def test_the_fingerprint_covers_content_and_not_place():
    pairs = make_pairs()
    moved = make_pairs(
        source="test:there", image_paths=tuple(Path("/two") / name for name in "abcd"), problems=()
    )
    assert len(pairs.fingerprint()) == 16
    assert moved.fingerprint() == pairs.fingerprint()
    flipped = pairs.truth.toarray()
    flipped[3, 4] = True
    others = [
        make_pairs(image_ids=("a.jpg", "b.jpg", "c.jpg", "e.jpg")),
        make_pairs(texts=("A", "both", "B", "B again", "c")),
        make_pairs(truth=sparse.csr_array(flipped)),
        make_pairs(image_split=np.array(["train", "dev", "train", "test"])),
        make_pairs(text_split=np.array(["train", "train", "dev", "dev", "test"])),
    ]
    assert len({pairs.fingerprint(), *(other.fingerprint() for other in others)}) == 6


def test_the_fingerprint_does_not_depend_on_how_truth_is_stored():
    shuffled = sparse.csr_array(
        (np.ones(6, bool), ([2, 1, 1, 2, 0, 0], [4, 3, 2, 1, 1, 0])), shape=(4, 5)
    )
    assert make_pairs(truth=shuffled).fingerprint() == make_pairs().fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ("A",)}, "differ in size"),
        ({"image_paths": ()}, "differ in size"),
        ({"text_split": np.array(["train"])}, "differ in size"),
        ({"image_ids": ("a", "b", "c", "a")}, "not unique"),
        ({"image_split": np.array(["train", "dev", "val", "dev"])}, "not 'val'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        make_pairs(**changes)
