"""Bags of visual words: counted by hand, kept with their matcher, refused where they cannot be."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from visita.data.decode import decode
from visita.encoders.fitted import install, install_fitted, save_fitted
from visita.encoders.visual_words import VisualWords, by_name, hog, sift
from visita.errors import ArtifactError, DataError, MissingExtraError, UnknownNameError
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

pytest.importorskip("cv2", reason="needs the extra classical")
WORDS = 10
LEVELS = ("sift", "hog")


@pytest.fixture(scope="module")
def words(drawn_pairs) -> VisualWords:
    return VisualWords.fit(drawn_pairs.take("train").image_paths[:16], LEVELS, WORDS, seed=0)


def test_it_keeps_the_contract(words):
    check_encoder(words)
    assert words.level_shapes() == {"sift": (WORDS,), "hog": (WORDS,)}


def test_a_bag_counts_the_nearest_words(words, drawn_pairs):
    pixels = words.prepare(decode(drawn_pairs.image_paths[3]))
    grey = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    bags = dict(zip(("hog", "sift"), words.runner(("hog", "sift"))(pixels[None]), strict=True))
    for level, describe in (("sift", sift), ("hog", hog)):
        counts = np.zeros(WORDS)
        for descriptor in describe(grey):
            counts[np.argmin(((words.centres[level] - descriptor) ** 2).sum(1))] += 1
        expected = counts * words.idf[level]
        assert counts.sum() > 5
        assert np.allclose(bags[level][0], expected / np.linalg.norm(expected), atol=1e-5)


def test_words_in_few_pictures_weigh_more(words, drawn_pairs):
    paths = drawn_pairs.take("train").image_paths[:16]
    pixels = np.stack([words.prepare(decode(path)) for path in paths])
    for level, bags in zip(("sift", "hog"), words.runner(("sift", "hog"))(pixels), strict=True):
        pictures = (bags > 0).sum(0)
        # Fitting rounds descriptors to half precision, so one may change its word.
        assert np.abs(np.log(17 / (1 + pictures)) + 1 - words.idf[level]).max() < 0.15


def test_one_kind_alone_can_be_fitted(words, drawn_pairs, tmp_path):
    paths = drawn_pairs.take("train").image_paths[:16]
    VisualWords.fit(paths, ("sift",), WORDS, seed=0).save(tmp_path / "words")
    lone = VisualWords.load(tmp_path / "words")
    assert lone.level_shapes() == {"sift": (WORDS,)}
    assert lone.fingerprint() != words.fingerprint()


def test_a_blank_picture_has_no_sift_and_is_no_error(words):
    blank = words.prepare(Image.new("RGB", (50, 40), "white"))
    [bag] = words.runner(("sift",))(blank[None])
    assert bag.shape == (1, WORDS) and not bag.any()


def test_the_same_seed_gives_the_same_words(words, drawn_pairs):
    paths = drawn_pairs.take("train").image_paths[:16]
    assert VisualWords.fit(paths, LEVELS, WORDS, seed=0).fingerprint() == words.fingerprint()
    assert VisualWords.fit(paths, LEVELS, WORDS, seed=1).fingerprint() != words.fingerprint()


def test_a_recipe_finds_words_by_their_content(words, drawn_pairs, tmp_path, monkeypatch):
    recipe = Recipe({words.name: ("sift",)})
    monkeypatch.setenv("VISITA_HOME", str(tmp_path / "one"))
    with pytest.raises(ArtifactError, match="neither in the cache"):
        RecipeEncoder(recipe)
    install(words)
    install(words)
    path = drawn_pairs.image_paths[0]
    [batch] = RecipeEncoder(recipe).encode([("a", path)])
    save_fitted(recipe, tmp_path / "kept")
    monkeypatch.setenv("VISITA_HOME", str(tmp_path / "two"))
    install_fitted(tmp_path / "kept")
    [again] = RecipeEncoder(recipe).encode([("a", path)])
    column = f"{words.name}/sift"
    assert batch.columns[column].shape == (1, WORDS)
    assert np.array_equal(batch.columns[column], again.columns[column])
    assert by_name(words.fingerprint()).fingerprint() == words.fingerprint()


def test_an_unreadable_picture_does_not_stop_fitting(drawn_pairs, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    paths = [broken, *drawn_pairs.take("train").image_paths[:5]]
    assert VisualWords.fit(paths, LEVELS, 3, seed=0).level_shapes()["hog"] == (3,)
    assert "broken.jpg" in capsys.readouterr().err


def test_too_many_words_are_refused(drawn_pairs):
    with pytest.raises(DataError, match="too few for words=5000"):
        VisualWords.fit(drawn_pairs.image_paths[:2], LEVELS, 5000, seed=0)


def test_a_level_that_does_not_exist_is_refused(words):
    with pytest.raises(UnknownNameError, match="Did you mean 'sift'"):
        words.runner(("sft",))


def test_a_damaged_file_is_refused(words, tmp_path):
    words.save(tmp_path / "words")
    (tmp_path / "words" / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match="copy it again"):
        VisualWords.load(tmp_path / "words")


@pytest.mark.parametrize(("module", "describe"), [("cv2", sift), ("skimage", hog)])
def test_a_missing_library_names_the_line_that_installs_it(module, describe, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'visita\[classical\]'"):
        describe(np.zeros((64, 64), np.uint8))
