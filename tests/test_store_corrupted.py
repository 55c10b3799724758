"""Features of worse pictures: of the right pixels, kept apart from the others, and nothing else."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from visita.data import PairSet
from visita.data.corruptions import corrupt
from visita.data.decode import decode
from visita.errors import MismatchError
from visita.store.altered import CorruptedEncoder
from visita.store.extract import feature_folder, image_features
from visita.store.pictures import RecipeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain(recipe) -> RecipeEncoder:
    return RecipeEncoder(recipe)


@pytest.fixture(scope="module")
def few(drawn_pairs) -> PairSet:
    return drawn_pairs.subset(np.arange(6))


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_a_row_has_the_features_of_the_corrupted_picture(few, plain, tmp_path):
    kept, columns = image_features(few, CorruptedEncoder(plain, "occlusion", 4), tmp_path)
    assert kept is few
    assert list(columns) == list(plain.columns())
    for row, path in enumerate(few.image_paths):
        key = sha256(path.read_bytes()).hexdigest()
        expected = plain.encode_pictures([corrupt(decode(path), "occlusion", 4, key)])
        for name, values in columns.items():
            assert np.allclose(values[row], expected[name][0], atol=1e-5)


def test_only_features_are_kept_and_the_files_stay_as_they_were(few, plain, tmp_path):
    before = [path.read_bytes() for path in few.image_paths]
    image_features(few, plain, tmp_path / "plain")
    image_features(few, CorruptedEncoder(plain, "noise", 2), tmp_path / "noise")
    assert files_below(tmp_path / "noise") == files_below(tmp_path / "plain")
    assert [path.read_bytes() for path in few.image_paths] == before


def test_a_second_call_computes_nothing(few, plain, tmp_path, capfd):
    encoder = CorruptedEncoder(plain, "noise", 2)
    _, first = image_features(few, encoder, tmp_path)
    assert "6 pictures to read" in capfd.readouterr().err
    _, again = image_features(few, CorruptedEncoder(plain, "noise", 2), tmp_path)
    assert "pictures to read" not in capfd.readouterr().err
    for name, values in first.items():
        assert np.array_equal(values, again[name])


def test_no_corruption_shares_a_folder_with_another(few, plain, tmp_path):
    encoders = [
        plain,
        *(CorruptedEncoder(plain, *which) for which in (("blur", 1), ("blur", 2), ("noise", 1))),
    ]
    assert len({feature_folder(encoder) for encoder in encoders}) == 4
    image_features(few, encoders[1], tmp_path)
    with pytest.raises(MismatchError, match="corruption"):
        image_features(few, encoders[2], tmp_path)
