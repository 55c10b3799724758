"""Features of pairs: computed once, kept by content, right after every interruption."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from standin import ColourMeans, draw_noise

from visita.data import PairSet, open_pairs
from visita.data.decode import decode
from visita.encoders.minilm import MiniLM
from visita.errors import DataError, MismatchError, UnknownNameError
from visita.store.extract import PairFeatures, extract_images, extract_texts, pair_features
from visita.store.pictures import RecipeEncoder
from visita.store.store import FeatureStore
from visita.types import Recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def features(drawn_pairs, recipe, sentences, tmp_path_factory) -> tuple[PairFeatures, Path]:
    folder = tmp_path_factory.mktemp("features")
    return pair_features(drawn_pairs, recipe, sentences, folder), folder


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def few_pairs(folder: Path, count: int = 10) -> PairSet:
    for i in range(count):
        path = draw_noise(folder / f"{i:02d}.png", i)
        path.with_suffix(".txt").write_text(f"noise number {i}\nanother text {i}\n", "utf-8")
    return open_pairs(f"folder:{folder}")


def test_every_row_belongs_to_its_picture_and_its_text(features, drawn_pairs, recipe, sentences):
    found, _ = features
    assert found.pairs.image_ids == drawn_pairs.image_ids
    assert list(found.columns) == list(recipe.columns())
    encoder = RecipeEncoder(recipe)
    for row in (0, 17, 119):
        alone = encoder.encode_pictures([decode(drawn_pairs.image_paths[row])])
        for name, values in alone.items():
            assert np.allclose(found.columns[name][row], values[0], atol=1e-5)
    expected = sentences.encode(drawn_pairs.texts)
    assert np.array_equal(found.texts.offsets, expected.offsets)
    assert np.allclose(found.texts.vectors, expected.vectors, atol=1e-5)


def test_splits_take_their_own_rows(features):
    found, _ = features
    for split in ("train", "dev", "test"):
        taken = found.take(split)
        assert taken.pairs.image_ids == found.pairs.take(split).image_ids
        rows = [found.pairs.image_ids.index(one) for one in taken.pairs.image_ids]
        for name, values in taken.columns.items():
            assert np.array_equal(values, found.columns[name][rows])
        rows = np.array([found.pairs.texts.index(text) for text in taken.pairs.texts])
        assert np.array_equal(taken.texts.vectors, found.texts.take(rows).vectors)


def test_a_second_call_computes_nothing(features, drawn_pairs, recipe, sentences, capfd):
    first, folder = features
    before = bytes_below(folder)
    again = pair_features(drawn_pairs, recipe, sentences, folder)
    assert bytes_below(folder) == before
    assert "pictures to read" not in capfd.readouterr().err
    for name, values in first.columns.items():
        assert np.array_equal(again.columns[name], values)
    assert np.array_equal(again.texts.vectors, first.texts.vectors)


def test_only_new_pictures_are_computed_wherever_the_old_ones_lie(tmp_path):
    encoder = ColourMeans()
    old = [draw_noise(tmp_path / "old" / f"{i}.png", i) for i in range(6)]
    extract_images(old, encoder, tmp_path / "store")
    moved = [Path(shutil.copy(path, tmp_path / f"moved {path.name}")) for path in old]
    new = [draw_noise(tmp_path / f"new {i}.png", 10 + i) for i in range(2)]
    encoder.encoded.clear()
    paths = [new[0], *moved, new[1], new[0]]
    keys = extract_images(paths, encoder, tmp_path / "store")
    assert set(encoder.encoded) == {keys[0], keys[7]}
    store = FeatureStore.open(tmp_path / "store")
    assert len(store) == 8 and keys[0] == keys[8]
    for path, key in zip(paths, keys, strict=True):
        for name, expected in encoder.features(path).items():
            assert np.allclose(store.column(name)[store.rows([key])[0]], expected, atol=1e-6)


def test_broken_pictures_are_left_out_with_their_texts(tmp_path, recipe, sentences, capfd):
    pairs = few_pairs(tmp_path / "pairs")
    pairs.image_paths[3].write_bytes(b"no picture")
    pairs.image_paths[7].unlink()
    found = pair_features(pairs, recipe, sentences, tmp_path / "features")
    said = capfd.readouterr().err
    assert f"skipped {pairs.image_paths[3]}: " in said
    assert f"skipped {pairs.image_paths[7]}: not a readable file" in said
    kept = [i for i in range(10) if i not in (3, 7)]
    assert found.pairs.image_ids == tuple(pairs.image_ids[i] for i in kept)
    assert len(found.pairs.texts) == 16 and found.pairs.truth.shape == (8, 16)
    assert all(len(values) == 8 for values in found.columns.values())
    expected = RecipeEncoder(recipe).encode_pictures([decode(pairs.image_paths[9])])
    for name, values in expected.items():
        assert np.allclose(found.columns[name][-1], values[0], atol=1e-5)
    assert np.allclose(found.texts.vectors, sentences.encode(found.pairs.texts).vectors, atol=1e-5)


def test_a_picture_that_was_repaired_is_read_the_next_time(tmp_path):
    paths = [draw_noise(tmp_path / f"{i}.png", i) for i in range(3)]
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[:40])
    keys = extract_images(paths, ColourMeans(), tmp_path / "store")
    assert [key in FeatureStore.open(tmp_path / "store") for key in keys] == [True, False, True]
    paths[1].write_bytes(whole)
    keys = extract_images(paths, ColourMeans(), tmp_path / "store")
    assert all(key in FeatureStore.open(tmp_path / "store") for key in keys)


def test_if_no_picture_can_be_read_that_is_an_error(tmp_path):
    paths = [tmp_path / f"{i}.jpg" for i in range(3)]
    for path in paths[:2]:
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the pictures could be read"):
        extract_images(paths, ColourMeans(), tmp_path / "store")
    assert extract_images([], ColourMeans(), tmp_path / "store") == []


def test_features_of_another_encoder_or_recipe_are_refused(tmp_path, features, drawn_pairs):
    paths = [draw_noise(tmp_path / "0.png", 0)]
    extract_images(paths, ColourMeans(version=1), tmp_path / "store")
    with pytest.raises(MismatchError, match="colours is 1 there, 2 here"):
        extract_images(paths, ColourMeans(version=2), tmp_path / "store")
    with pytest.raises(MismatchError, match="colours/2"):
        extract_images(paths, ColourMeans(levels=("8",)), tmp_path / "store")
    _, folder = features
    other = Recipe({"efficientnet-lite0": ("head:avg",)})
    with pytest.raises(MismatchError, match="absent here"):
        pair_features(drawn_pairs, other, MiniLM(("layer6",)), folder)


def test_unknown_names_are_refused_before_anything_is_read(tmp_path, drawn_pairs, sentences):
    with pytest.raises(UnknownNameError, match="efficientnet"):
        pair_features(drawn_pairs, Recipe({"effnet": ("a",)}), sentences, tmp_path)
    assert not list(tmp_path.iterdir())


def test_texts_are_computed_once_and_come_back_whole(tmp_path, sentences):
    long = " ".join(f"word{n}" for n in range(400))
    texts = ["a dog", long, "", "a dog", "lone \ud83d half", "照片"]
    first = extract_texts(texts, sentences, tmp_path)
    direct = sentences.encode(texts)
    assert np.array_equal(first.offsets, direct.offsets)
    assert np.allclose(first.vectors, direct.vectors, atol=1e-5)
    before = bytes_below(tmp_path)
    turned = extract_texts(texts[::-1], sentences, tmp_path)
    assert bytes_below(tmp_path) == before
    order = np.arange(len(texts))[::-1].astype(np.int64)
    assert np.array_equal(turned.vectors, first.take(order).vectors)
    more = extract_texts(["new", long], sentences, tmp_path)
    assert np.array_equal(more.vectors[1:], first.vectors[1 : first.offsets[2]])
    assert len(extract_texts([], sentences, tmp_path)) == 0


def test_other_levels_of_texts_are_kept_apart(tmp_path, sentences):
    extract_texts(["a dog"], sentences, tmp_path)
    other = MiniLM(sentences.levels[::-1])
    assert other.fingerprint() == sentences.fingerprint()
    assert len([p for p in tmp_path.iterdir() if p.name.startswith("texts-")]) == 1
    extract_texts([], other, tmp_path)
    assert len([p for p in tmp_path.iterdir() if p.name.startswith("texts-")]) == 2


def damage(folder: Path, share: float) -> None:
    """Change a byte of the first column of a store, at a share of its length."""
    (path,) = folder.glob("data-*/00-*")
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)


def test_a_damaged_row_of_a_picture_is_computed_again(tmp_path):
    paths = [draw_noise(tmp_path / f"{i}.png", i) for i in range(6)]
    encoder = ColourMeans()
    keys = extract_images(paths, encoder, tmp_path / "store")
    damage(tmp_path / "store", 0.4)
    encoder.encoded.clear()
    assert extract_images(paths, encoder, tmp_path / "store") == keys
    assert set(encoder.encoded) == {keys[2]}
    store = FeatureStore.open(tmp_path / "store")
    assert store.damaged() == []
    for path, key in zip(paths, keys, strict=True):
        for name, expected in encoder.features(path).items():
            assert np.allclose(store.column(name)[store.rows([key])[0]], expected, atol=1e-6)


def test_a_text_of_which_one_passage_is_damaged_is_computed_again_whole(tmp_path, sentences):
    texts = ["a dog", " ".join(f"word{n}" for n in range(400)), "照片"]
    first = extract_texts(texts, sentences, tmp_path)
    (folder,) = tmp_path.glob("texts-*")
    damage(folder, 0.5)  # in the middle of the long one
    again = extract_texts(texts, sentences, tmp_path)
    assert np.array_equal(again.offsets, first.offsets)
    assert np.allclose(again.vectors, first.vectors, atol=1e-5)
    assert FeatureStore.open(folder).damaged() == []


EXTRACT = """
import sys
from pathlib import Path
from standin import ColourMeans
from visita.store.extract import extract_images

class Telling(ColourMeans):
    def encode(self, items):
        for batch in super().encode(items):
            yield batch
            print("done", flush=True)

extract_images(sorted(Path(sys.argv[1]).iterdir()), Telling(), Path(sys.argv[2]))
"""


def test_killed_again_and_again_it_becomes_what_it_would_have_been(tmp_path):
    pictures = tmp_path / "pictures"
    for i in range(100):
        draw_noise(pictures / f"{i:03d}.png", i)
    (pictures / "050.png").write_bytes(b"no picture")
    paths = sorted(pictures.iterdir())
    extract_images(paths, ColourMeans(), tmp_path / "whole")

    command = [sys.executable, "-c", EXTRACT, str(pictures), str(tmp_path / "killed")]
    held = 0
    for lines in np.random.default_rng(0).integers(6, 12, 3).tolist():
        # The first five lines are of the pictures that it measures its speed on.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, encoding="utf-8", cwd=Path(__file__).parent
        ) as child:
            assert child.stdout
            for _ in range(lines):
                assert child.stdout.readline() == "done\n"
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        left = FeatureStore.open(tmp_path / "killed")
        assert len(left) >= held + 4 * (lines - 5) - 1
        held = len(left)
    assert held < 99
    extract_images(paths, ColourMeans(), tmp_path / "killed")

    whole, killed = (FeatureStore.open(tmp_path / name) for name in ("whole", "killed"))
    assert killed.ids == whole.ids and len(killed) == 99
    assert dict(killed.skipped) == dict(whole.skipped)
    for name in whole.columns:
        assert np.array_equal(killed.column(name), whole.column(name))
