"""Features of augmented views: of the right pixels, and of which pictures they are made."""

from __future__ import annotations

import shutil
from hashlib import sha256

import numpy as np
import pytest

from visita.data import PairSet, open_pairs
from visita.data.augment import VIEWS, cropped, generator, mirrored
from visita.data.decode import decode
from visita.errors import DataError
from visita.store.altered import AugmentedEncoder, View, view_features
from visita.store.extract import feature_folder
from visita.store.pictures import RecipeEncoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

RECIPE = Recipe({"colours": ("whole", "centre")})


@pytest.fixture(scope="module")
def few(drawn_pairs) -> PairSet:
    return drawn_pairs.subset(np.arange(6))


@pytest.fixture(scope="module")
def found(few, tmp_path_factory) -> dict[str, View]:
    views = view_features(few, RECIPE, VIEWS, tmp_path_factory.mktemp("views"))
    return dict(zip(VIEWS, views, strict=True))


def keys_of(pairs: PairSet) -> list[str]:
    return [sha256(path.read_bytes()).hexdigest() for path in pairs.image_paths]


def test_a_row_has_the_features_of_the_view(few, found):
    plain = RecipeEncoder(RECIPE)
    for row, (key, path) in enumerate(zip(keys_of(few), few.image_paths, strict=True)):
        picture = decode(path)
        expected = {
            "crop": cropped(picture, generator("crop", key)),
            "flip": mirrored(picture),
            "crop-flip": cropped(mirrored(picture), generator("crop-flip", key)),
        }
        for view, seen in expected.items():
            for name, values in plain.encode_pictures([seen]).items():
                assert np.allclose(found[view].columns[name][row], values[0], atol=1e-5)


def test_a_patched_view_is_made_of_four_pictures_by_their_shares(few, found):
    plain = RecipeEncoder(RECIPE)
    keys = keys_of(few)
    files = dict(zip(keys, few.image_paths, strict=True))
    encoder = AugmentedEncoder(plain, "ricap", files)
    made_of = found["ricap"].made_of.toarray()
    assert np.allclose(made_of.sum(1), 1) and (made_of.diagonal() > 0).any()
    for row, key in enumerate(keys):
        some, patchwork = encoder.patches(key)
        assert some[0] == key and len(some) == 4
        expected = np.zeros(len(keys))
        for one, share in zip(some, patchwork.shares(), strict=True):
            expected[keys.index(one)] += share
        assert np.allclose(made_of[row], expected)
        whole = patchwork.of([decode(files[one]) for one in some])
        for name, values in plain.encode_pictures([whole]).items():
            assert np.allclose(found["ricap"].columns[name][row], values[0], atol=1e-5)


@pytest.mark.parametrize("view", VIEWS[:3])
def test_another_view_is_made_of_its_own_picture(found, view):
    assert np.array_equal(found[view].made_of.toarray(), np.eye(6))


def test_a_second_call_computes_nothing(few, tmp_path, capfd):
    [first] = view_features(few, RECIPE, ["ricap"], tmp_path)
    assert "6 pictures to read" in capfd.readouterr().err
    [again] = view_features(few, RECIPE, ["ricap"], tmp_path)
    assert capfd.readouterr().err == ""
    assert all(np.array_equal(first.columns[name], again.columns[name]) for name in first.columns)
    assert list(view_features(few, RECIPE, [], tmp_path)) == []


def test_no_view_shares_a_folder_with_another(few):
    plain, keys = RecipeEncoder(RECIPE), keys_of(few)
    files = dict(zip(keys, few.image_paths, strict=True))
    some = {key: files[key] for key in keys[:5]}
    encoders = [AugmentedEncoder(plain, view, one) for view in VIEWS for one in (files, some)]
    folders = [feature_folder(one) for one in [plain, *encoders]]
    # Only what is patched depends on the other pictures.
    assert len(set(folders)) == 1 + 3 + 2


def test_a_picture_that_is_gone_stops_the_run(drawn_folder, tmp_path):
    for path in sorted(drawn_folder.iterdir())[:12]:
        shutil.copy(path, tmp_path)
    pairs = open_pairs(f"folder:{tmp_path}")
    pairs.image_paths[2].write_bytes(b"no picture")
    with pytest.raises(DataError, match="A picture changed while its views were computed"):
        list(view_features(pairs, RECIPE, ["flip"], tmp_path / "features"))
