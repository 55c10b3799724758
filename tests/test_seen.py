"""Pictures that a matcher saw: kept beside it, found again, and left out of what is measured."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run
from PIL import Image
from scipy import sparse

import visita
from visita.artifact import write_arrays
from visita.data.identity import UNKNOWN, are_among, identities
from visita.data.seen import SEEN, Seen
from visita.errors import ArtifactError
from visita.evaluation.intervals import Groups, components
from visita.evaluation.measure import features_for
from visita.evaluation.pairs import pairs_to_measure
from visita.evaluation.ranks import mean_ranks
from visita.evaluation.rerank import ranks
from visita.evaluation.unseen import kept
from visita.training.config import FusionConfig

TINY = FusionConfig(
    image_levels={"efficientnet-lite0": ("head:avg",)},
    mirror=False,
    class_names_weight=0,
    keywords_per_image=0,
    dim=16,
    fusion_dim=16,
    hidden=16,
    epochs=1,
)


@pytest.fixture(scope="module")
def trained(drawn_pairs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("seen") / "tiny"
    visita.train(drawn_pairs, folder, config=TINY)
    return folder


def rows(pairs, split):
    return identities(
        [pairs.image_paths[row] for row in np.flatnonzero(pairs.image_split == split)]
    )


def test_a_photograph_saved_anew_is_the_same_and_others_are_not(photographs, tmp_path):
    saved = []
    for path in photographs:
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((224, 224))
            large = picture.convert("RGB").resize((picture.width * 3 // 2, picture.height * 3 // 2))
        for name, copy in (("small", small), ("large", large)):
            saved.append(tmp_path / f"{path.stem}-{name}.jpg")
            copy.save(saved[-1], quality=60)
    known, copies = identities(photographs), identities(saved)
    assert not np.isin(copies[:, 0], known[:, 0]).any()  # no file is the same
    assert are_among(copies, known).all()
    for left_out in range(3):
        others = np.delete(known, left_out, axis=0)
        assert are_among(copies, others).tolist() == [n // 2 != left_out for n in range(6)]


def test_plain_pictures_are_known_by_their_content_alone(tmp_path):
    for name, colour in (("a", "white"), ("b", "grey")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "d.png").write_bytes(b"no picture")
    a, b, c, d, gone = identities([tmp_path / f"{name}.png" for name in "abcde"])
    assert are_among(np.stack([a, b, c, d, gone]), a[None]).tolist() == [True, False, True, 0, 0]
    assert gone.tolist() == [UNKNOWN, UNKNOWN]
    assert are_among(np.stack([gone]), np.stack([gone])).tolist() == [False]


def test_a_trained_matcher_keeps_what_it_saw_and_its_fingerprint(trained, drawn_pairs):
    matcher = visita.load(trained)
    assert np.array_equal(matcher.seen.train, rows(drawn_pairs, "train"))
    assert np.array_equal(matcher.seen.dev, rows(drawn_pairs, "dev"))
    assert replace(matcher, seen=None).fingerprint() == matcher.fingerprint()


def test_one_of_before_keeps_none_and_nothing_is_claimed(trained, drawn_pairs, tmp_path):
    older = replace(visita.load(trained), seen=None)
    older.save(tmp_path / "older")
    assert not (tmp_path / "older" / SEEN).exists()
    report = visita.evaluate(tmp_path / "older", drawn_pairs, split="dev")
    assert report["seen"] is None and report["warnings"] == [] and "without_seen" not in report


def test_what_is_adapted_or_fused_saw_what_its_parts_did(trained, drawn_pairs, tmp_path):
    base = replace(
        visita.load(trained),
        seen=Seen(np.array([[1, 2]], np.uint64), np.array([[3, 4]], np.uint64)),
    )
    adapted = visita.adapt(
        base, drawn_pairs, tmp_path / "adapted", config=visita.AdaptConfig(epochs=1)
    ).matcher
    fused = visita.fuse([base, "colour"], drawn_pairs, tmp_path / "fused").matcher
    for matcher in (adapted, fused, visita.load(tmp_path / "adapted")):
        assert [1, 2] in matcher.seen.train.tolist() and [3, 4] in matcher.seen.dev.tolist()
        assert are_among(rows(drawn_pairs, "train"), matcher.seen.train).all()


def test_measuring_on_what_it_was_chosen_on_is_said(trained, drawn_pairs, drawn_folder):
    report = visita.evaluate(trained, drawn_pairs, split="dev")
    [warning] = report["warnings"]
    assert "chosen and calibrated on" in warning
    assert report["seen"]["train"] + report["seen"]["dev"] == report["seen"]["of"] == 18
    done = run("evaluate", trained, "--data", f"folder:{drawn_folder}", "--split", "dev")
    assert "chosen and calibrated on" in done.err


def test_numbers_without_what_was_seen_are_those_of_the_other_queries(trained, drawn_pairs):
    matcher = visita.load(trained)
    test = drawn_pairs.take("test")
    own = identities(test.image_paths)
    matcher = replace(matcher, seen=Seen(own[:5], own[5:7]))
    report = visita.evaluate(matcher, test, split="test")
    seen = matcher.seen.among(own)
    assert report["seen"] == seen.to_dict() and seen.any[:7].all()
    rest = report["without_seen"]
    left = ~seen.any
    assert rest["images"] == left.sum() and rest["texts"] == test.truth[left].sum()
    of_images, of_texts = ranks(matcher, features_for(matcher, test, None))
    owners = test.truth.tocsc().indices
    for way, found in (
        ("image_to_text", of_images[left]),
        ("text_to_image", of_texts[left[owners]]),
    ):
        expected = 100 * np.mean(mean_ranks(found) <= 5)
        assert rest["protocols"]["retrieval"][way]["R@5"]["value"] == pytest.approx(expected)
    assert set(rest["protocols"]["pairs"]) == set(report["protocols"]["pairs"])


def test_pairs_of_some_images_are_those_of_all_that_are_theirs():
    truth = sparse.csr_array(np.kron(np.eye(6), np.ones((1, 2))).astype(bool))
    drawn = pairs_to_measure(truth, seed=0)
    some, at = drawn.of_images(np.arange(6) < 4)
    assert (some.images == drawn.images[at]).all() and (some.texts == drawn.texts[at]).all()
    assert set(some.images) == {0, 1, 2, 3} and len(at) == len(drawn.images) * 4 // 6


def test_pictures_that_share_a_text_with_one_that_was_seen_are_left_out_with_it():
    truth = sparse.csr_array(
        np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], bool)
    )
    images, texts, groups = kept(components(truth), np.array([False, True, True, True]))
    assert images.tolist() == [False, False, True, True]
    assert texts.tolist() == [False, False, True, True]
    assert isinstance(groups, Groups) and groups.count == 2
    assert groups.images.tolist() == groups.texts.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["visita-small", "visita-base"])
def test_what_ships_knows_its_pictures_in_other_sizes_and_no_others(
    name, flickr8k, coco80, tmp_path
):
    pairs = visita.open_pairs(f"flickr8k:{flickr8k}")
    paths = [*pairs.take("train").image_paths[::300], *pairs.take("dev").image_paths[::200]]
    for number, path in enumerate(paths):
        with Image.open(path) as picture:
            picture.resize((500, 375)).save(tmp_path / f"{number:03d}.jpg", quality=80)
    saved = sorted(tmp_path.glob("*.jpg"))
    others = visita.open_pairs(f"coco:{coco80}").image_paths
    seen = visita.load(name).seen
    overlap = seen.among(identities([*saved, *others]))
    assert overlap.train.tolist() == 20 * [True] + 85 * [False]
    assert overlap.dev.tolist() == 20 * [False] + 5 * [True] + 80 * [False]
    assert (len(seen.train), len(seen.dev)) == (6000, 1000)


def test_the_command_shows_both(trained, drawn_folder, tmp_path):
    pairs = visita.open_pairs(f"folder:{drawn_folder}")
    own = identities(pairs.take("test").image_paths)
    replace(visita.load(trained), seen=Seen(own[:3], own[3:4])).save(tmp_path / "half")
    done = run("evaluate", tmp_path / "half", "--data", f"folder:{drawn_folder}")
    assert done.status == 0 and "never saw, in the same gallery" in done.out
    assert "learnt from" in done.err


def test_identities_that_are_none_are_refused(trained, tmp_path):
    folder = tmp_path / "odd"
    shutil.copytree(trained, folder)
    write_arrays(
        folder / SEEN, {"train": np.zeros((3, 2), np.int64), "dev": np.zeros((0, 2), np.uint64)}
    )
    with pytest.raises(ArtifactError, match="changed since it was saved"):
        visita.load(folder)
    with pytest.raises(ArtifactError, match="does not hold identities"):
        Seen.read(folder)
