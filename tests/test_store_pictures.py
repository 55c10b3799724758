"""From files to features: rows that belong to their keys, whatever the files are like."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageOps
from zoo import draw_zoo

from visita.data.decode import decode
from visita.encoders.efficientnet import lite0, lite1
from visita.encoders.engine import cores
from visita.encoders.export import TorchRunner
from visita.errors import ConfigError, PictureError, UnknownNameError
from visita.store.pictures import BATCH, CHUNK, RecipeEncoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

TWO = Recipe(
    {"efficientnet-lite0": ("stem:max", "block2:grid"), "efficientnet-lite1": ("block1:avg",)},
    mirror=True,
)


@pytest.fixture(scope="module", autouse=True)
def two_cores() -> Iterator[None]:
    """Read on two cores, also where the other workers have the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_CORES", "2")
        yield


@pytest.fixture(scope="module")
def encoder(recipe) -> RecipeEncoder:
    return RecipeEncoder(recipe)


@pytest.fixture(scope="module")
def two() -> RecipeEncoder:
    return RecipeEncoder(TWO)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_columns_have_the_names_and_shapes_that_are_promised(two, photographs):
    (batch,) = two.encode([(path.name, path) for path in photographs])
    assert batch.keys == [path.name for path in photographs]
    promised = {name: (s,) if isinstance(s, int) else s for name, s in two.columns().items()}
    assert (
        list(promised)
        == list(TWO.columns())
        == [
            "efficientnet-lite0/stem:max",
            "efficientnet-lite0/block2:grid",
            "efficientnet-lite0/stem:max@mirror",
            "efficientnet-lite1/block1:avg",
            "efficientnet-lite1/block1:avg@mirror",
        ]
    )
    assert promised["efficientnet-lite0/block2:grid"] == (56 * 56, 24)
    assert {name: values.shape for name, values in batch.columns.items()} == {
        name: (len(photographs), *shape) for name, shape in promised.items()
    }
    assert all(values.dtype == np.float32 for values in batch.columns.values())


def test_each_encoder_sees_the_picture_in_its_own_size(two, photographs):
    columns = two.encode_pictures([decode(path) for path in photographs])
    for make, level in ((lite0, "stem:max"), (lite1, "block1:avg")):
        single = make()
        pixels = np.stack([single.prepare(decode(path)) for path in photographs])
        (expected,) = TorchRunner(single.network([level]))(pixels)
        for one, other in zip(expected, columns[f"{single.name}/{level}"], strict=True):
            assert cosine(one, other) > 0.95


def test_the_mirrored_view_is_that_of_the_mirrored_picture(two, photographs):
    plain = [decode(path) for path in photographs]
    columns = two.encode_pictures(plain)
    mirrored = two.encode_pictures([ImageOps.mirror(picture) for picture in plain])
    for name in ("efficientnet-lite0/stem:max", "efficientnet-lite1/block1:avg"):
        for row in range(len(plain)):
            assert cosine(columns[f"{name}@mirror"][row], mirrored[name][row]) > 0.999
            assert cosine(columns[name][row], mirrored[f"{name}@mirror"][row]) > 0.999
        assert not np.array_equal(columns[name], columns[f"{name}@mirror"])


def test_a_mirrored_picture_of_the_right_size_is_the_same_to_the_bit(encoder):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((224, 224))
    columns = encoder.encode_pictures([picture])
    mirrored = encoder.encode_pictures([ImageOps.mirror(picture)])
    name = "efficientnet-lite0/head:avg"
    assert np.array_equal(columns[f"{name}@mirror"], mirrored[name])


def test_what_cannot_be_decoded_is_skipped_and_the_rows_stay_with_their_keys(encoder, tmp_path):
    animals = draw_zoo(tmp_path / "zoo")
    gone = tmp_path / "gone.png"
    items = [(f"key {i}", animal.path) for i, animal in enumerate(animals)] + [("gone", gone)]
    bad = {f"key {i}" for i, animal in enumerate(animals) if animal.reason} | {"gone"}
    assert len(bad) > 5 and len(items) - len(bad) > 5
    batches = list(encoder.encode(items))
    keys = [key for batch in batches for key in batch.keys]
    skipped = {one.item: one.reason for batch in batches for one in batch.skipped}
    assert keys == [key for key, _ in items if key not in bad]
    assert set(skipped) == bad and all(skipped.values())
    name = "efficientnet-lite0/head:avg"
    rows = np.concatenate([batch.columns[name] for batch in batches if batch.keys])
    assert len(rows) == len(keys)
    paths = dict(items)
    for row, key in list(zip(rows, keys, strict=True))[::4]:
        (alone,) = encoder.encode([(key, paths[key])])
        assert np.allclose(row, alone.columns[name][0], atol=1e-5)


def test_where_nothing_can_be_decoded_there_are_no_rows(encoder, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff junk")
    (batch,) = encoder.encode([(str(i), broken) for i in range(2 * CHUNK + 1)])
    assert batch.keys == [] and batch.columns == {}
    assert [one.item for one in batch.skipped] == [str(i) for i in range(2 * CHUNK + 1)]
    assert list(encoder.encode([])) == []


def test_pictures_are_read_lazily_in_order_and_in_the_callers_thread(encoder, drawn_folder):
    paths = sorted(p for p in drawn_folder.iterdir() if p.suffix != ".txt")
    taken: list[int] = []

    def items():
        for path in paths:
            taken.append(threading.get_ident())
            yield path.name, path

    batches = encoder.encode(items())
    first = next(batches)
    assert len(first.keys) == BATCH
    assert BATCH <= len(taken) <= BATCH + CHUNK * (2 * cores() + 1)
    rest = [key for batch in batches for key in batch.keys]
    assert first.keys + rest == [path.name for path in paths]
    assert set(taken) == {threading.get_ident()}


def test_rows_do_not_depend_on_the_pictures_beside_them(encoder, drawn_folder):
    paths = sorted(drawn_folder.glob("*.png"))[: CHUNK + 3]
    together = encoder.encode_pictures([decode(path) for path in paths])
    for row in (0, CHUNK + 2):
        alone = encoder.encode_pictures([decode(paths[row])])
        for name, values in alone.items():
            assert np.allclose(values[0], together[name][row], atol=1e-5)


def test_stopping_half_way_leaves_no_thread_behind(encoder, drawn_folder):
    before = threading.active_count()
    batches = encoder.encode((str(n), path) for n, path in enumerate(drawn_folder.glob("*.png")))
    next(batches)
    batches.close()
    assert threading.active_count() <= before


def test_an_error_of_the_caller_comes_through(encoder, photographs):
    def items():
        yield "a", photographs[0]
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        list(encoder.encode(items()))


def test_a_large_photograph_may_be_decoded_smaller(encoder, tmp_path, photographs):
    large = tmp_path / "large.jpg"
    Image.open(photographs[2]).resize((3000, 2000), Image.Resampling.BICUBIC).save(large)
    (batch,) = encoder.encode([("large", large)])
    small = encoder.encode_pictures([decode(photographs[2])])
    name = "efficientnet-lite0/head:avg"
    assert cosine(batch.columns[name], small[name]) > 0.97


def test_a_file_gives_the_same_numbers_wherever_it_is_read(two, tmp_path, photographs):
    large = tmp_path / "large.jpg"
    Image.open(photographs[2]).resize((2400, 1600), Image.Resampling.BICUBIC).save(large)
    (batch,) = two.encode([("large", large)])
    opened = two.open(large)
    assert opened.size == (1200, 800)
    for found in (two.encode_pictures([large]), two.encode_pictures([str(large)])):
        for name, values in found.items():
            assert np.array_equal(values, batch.columns[name]), name
    for name, values in two.encode_pictures([opened]).items():
        assert np.array_equal(values, batch.columns[name]), name


def test_a_file_that_cannot_be_decoded_is_named(two, tmp_path):
    with pytest.raises(PictureError, match=r"gone\.png: cannot be read: No such file"):
        two.encode_pictures([tmp_path / "gone.png"])


def test_what_decides_the_numbers_is_told(two):
    facts = two.facts()
    assert facts["encoders"] == {e.name: e.fingerprint() for e in (lite0(), lite1())}
    assert all(one.startswith("int8 ") for one in facts["precision"].values())
    assert set(facts["decoding"].values()) == {"not below 520"}


def test_recipes_that_make_no_sense_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'efficientnet-lite2'"):
        RecipeEncoder(Recipe({"efficientnet-lite3": ("head:avg",)}))
    with pytest.raises(UnknownNameError, match=r"no level 'head'\. Did you mean 'head:"):
        RecipeEncoder(Recipe({"efficientnet-lite0": ("stem:avg", "head")}))
    for levels in ({}, {"efficientnet-lite0": ()}):
        with pytest.raises(ConfigError, match="at least one level"):
            RecipeEncoder(Recipe(levels))
