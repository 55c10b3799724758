"""Decoding: every kind of picture file, good or damaged, from real files."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bombs
import numpy as np
import pytest
from PIL import Image
from zoo import BAD, GOOD, HEIGHT, WIDTH, draw_zoo, landmark, ordinary_user, png_header

from visita.data import decode
from visita.data.decode import MOST_BYTES, REDUCED
from visita.data.formats import BoundedFile, Jpeg
from visita.errors import PictureError


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    return draw_zoo(tmp_path_factory.mktemp("zoo"))


def corners(picture):
    """Return the mean colours of the white corner, the left half's and the right half's middle."""
    pixels = np.asarray(picture, dtype=float)
    return [pixels[4:12, 4:12], pixels[22:38, 4:28], pixels[4:36, 36:60]]


def test_every_good_picture_comes_back_upright_in_rgb(zoo):
    good = [animal for animal in zoo if animal.reason is None]
    assert len(good) == len(GOOD)
    for animal in good:
        picture = decode(animal.path)
        assert (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT)), animal
        white, red, blue = (block.mean((0, 1)) for block in corners(picture))
        assert white.min() > 245, animal
        if animal.grey:
            assert np.ptp(red) == np.ptp(blue) == 0, animal
            assert 30 < red[0] < 90 > blue[0], animal
        else:
            assert red[0] > 200 and red[1:].max() < 30, animal
            assert blue[2] > 190 and blue[:2].max() < 60, animal


def test_every_bad_file_gives_its_reason(zoo):
    bad = [animal for animal in zoo if animal.reason is not None]
    assert len(bad) > len(BAD)
    for animal in bad:
        with pytest.raises(PictureError, match=animal.reason) as caught:
            decode(animal.path)
        assert str(animal.path) not in str(caught.value)


def test_deep_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for name in ("ramp.png", "ramp.tif", "ramp.pgm"):
        Image.fromarray(ramp).save(tmp_path / name)
        got = np.asarray(decode(tmp_path / name))[..., 0].astype(float)
        assert np.abs(got - ramp / 257).max() <= 0.51, name
    Image.fromarray(ramp.astype(np.float32) / 65535 - 7).save(tmp_path / "ramp32.tif")
    got = np.asarray(decode(tmp_path / "ramp32.tif"))[..., 0].astype(float)
    assert np.abs(got - ramp / 257).max() <= 0.51
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "nothing.tif")
    assert np.asarray(decode(tmp_path / "nothing.tif")).max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_may_come_reduced_but_not_below(tmp_path, kind, orientation):
    path = tmp_path / f"large.{kind}"
    exif = Image.Exif()
    exif[274] = orientation
    sizes = {519: 1, 1039: 1, 1040: 2, 2079: 2, 2080: 4}
    for shorter, scale in sizes.items():
        landmark().resize((2200, shorter)).save(path, exif=exif)
        width, height = (2200, shorter) if orientation == 1 else (shorter, 2200)
        assert decode(path).size == (width, height)
        assert decode(path, reduced=True).size == (-(-width // scale), -(-height // scale))
    near = np.asarray(decode(path, reduced=True).resize((160, 100)), dtype=float)
    far = np.asarray(decode(path).resize((160, 100)), dtype=float)
    assert np.abs(near - far).mean() < 2


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "L", "1", "CMYK", "I;16", "F"])
def test_strips_make_the_same_of_a_picture_as_the_whole_would(monkeypatch, tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (2 * REDUCED + 37, 2 * REDUCED + 11, 4))
    picture = Image.fromarray(pixels.astype(np.uint8))
    deep = {"I;16": np.uint16, "F": np.float32}
    if mode in deep:
        picture = Image.fromarray((pixels[..., 0] * 200).astype(deep[mode]))
    else:
        picture = picture.convert(mode)
    path = tmp_path / "picture.tif"
    picture.save(path)
    in_one, reduced = decode(path), decode(path, reduced=True)
    assert in_one.reduce(2) == reduced
    monkeypatch.setattr(sys.modules["visita.data.decode"], "STRIP", 20_000)
    assert decode(path) == in_one
    assert decode(path, reduced=True) == reduced


def test_metadata_is_gone_so_nobody_turns_the_picture_twice(zoo):
    for animal in zoo:
        if animal.reason is None:
            assert decode(animal.path).getexif().get(274, 1) == 1
            assert "exif" not in decode(animal.path).info


def test_pictures_between_pillows_limit_and_ours_pass_the_size_check(tmp_path):
    # Pillow's own check would warn here, and warnings are errors in these tests.
    (tmp_path / "large.png").write_bytes(png_header(9_500, 10_000))
    with pytest.raises(PictureError, match="truncated"):
        decode(tmp_path / "large.png")


def test_a_file_of_absurd_length_is_refused_unread(tmp_path):
    path = tmp_path / "long.jpg"
    landmark().save(path)
    os.truncate(path, MOST_BYTES + 1)  # sparse
    with pytest.raises(PictureError, match="larger than 512 MiB"):
        decode(path)


def test_a_file_one_may_not_read():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for path in (folder / "open.png", folder / "closed.png"):
            landmark().save(path)
        decode(folder / "open.png")
        (folder / "closed.png").chmod(0)
        with ordinary_user():
            assert decode(folder / "open.png").size == (WIDTH, HEIGHT)
            with pytest.raises(PictureError, match="Permission denied"):
                decode(folder / "closed.png")


def test_odd_names(tmp_path):
    for name in ("naïve 🐙.png", "line\nbreak.png", os.fsdecode(b"latin\xe9.png"), "{x}%s.png"):
        landmark().save(tmp_path / "plain.png")
        (tmp_path / "plain.png").rename(tmp_path / name)
        assert decode(tmp_path / name).size == (WIDTH, HEIGHT)


def test_threads_agree_with_one_thread(zoo):
    paths = [animal.path for animal in zoo if animal.reason is None]
    alone = [decode(path).tobytes() for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: decode(path).tobytes(), paths * 5))
    assert together == alone * 5


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's own, on damaged TIFF
def test_random_damage_never_escapes(zoo, tmp_path):
    rng = np.random.default_rng(0)
    outcomes = set()
    for animal in (one for one in zoo if one.reason is None):
        content = animal.path.read_bytes()
        for _ in range(12):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), rng.integers(1, 8)):
                damaged[place] = rng.integers(256)
            path = tmp_path / "damaged"
            path.write_bytes(damaged[: rng.integers(len(content) // 2, len(content) + 1)])
            try:
                outcomes.add(decode(path).mode)
            except PictureError as error:
                outcomes.add(str(error) != "")
    assert outcomes == {"RGB", True}


def test_heic_without_the_extra_says_what_to_install(zoo):
    heic = next(animal.path for animal in zoo if animal.path.suffix == ".heic")
    code = (
        "import sys, pathlib; sys.modules['pillow_heif'] = None\n"
        "from visita.data import decode; from visita.errors import PictureError\n"
        "try: decode(pathlib.Path(sys.argv[1]))\n"
        "except PictureError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, heic], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip().endswith("pip install 'visita[heif]'")


def test_no_pillow_state_is_changed(zoo):
    code = (
        "import sys, pathlib, warnings\n"
        "from PIL import Image, ImageFile\n"
        "from visita.data import decode\n"
        "Image.init()\n"
        "def state(): return (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES,"
        " dict(Image.OPEN), list(warnings.filters))\n"
        "before = state()\n"
        "for path in sys.argv[1:]: decode(pathlib.Path(path))\n"
        "assert state() == before\n"
    )
    paths = [animal.path for animal in zoo if animal.reason is None]
    command = [sys.executable, "-c", code, *paths]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's own, on damaged metadata
def test_hostile_pictures_are_read_or_refused_with_a_reason(tmp_path):
    outcomes = []
    small = {**bombs.HEADERS, **bombs.TIFFS, **bombs.ODD}
    for name, content in small.items():
        if name.startswith("bomb"):
            continue
        path = tmp_path / name
        path.write_bytes(content())
        try:
            outcomes.append(decode(path, reduced=True).mode)
        except PictureError as error:
            assert str(error), name
            outcomes.append("refused")
        path.unlink()
    assert set(outcomes) == {"RGB", "refused"}
    assert len(outcomes) > 120


@pytest.mark.parametrize("name", ["bomb progressive.jpg", "bomb.webp"])
def test_bombs_are_refused_before_they_take_memory(tmp_path, name):
    (tmp_path / name).write_bytes(bombs.BOMBS[name]())
    with pytest.raises(PictureError, match=r"takes about|damaged|cannot be"):
        decode(tmp_path / name, reduced=True)


def test_a_header_that_never_ends_and_endless_passes_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(BoundedFile, "MOST_READS", 1_000)
        (tmp_path / "comment.ppm").write_bytes(b"P6 #" + b"x" * 2_000)
        with pytest.raises(PictureError, match="consists of more than 1,000 pieces"):
            decode(tmp_path / "comment.ppm")
    strips = [(257, 4, [2**17]), (278, 4, [1]), (273, 4, [8] * 2**17), (279, 4, [1] * 2**17)]
    (tmp_path / "strips.tif").write_bytes(bombs.tiff(*strips))
    with pytest.raises(PictureError, match="consists of more than 100,000 pieces"):
        decode(tmp_path / "strips.tif")
    monkeypatch.setattr(Jpeg, "MOST_WORK", 64 * 64 * 100)
    (tmp_path / "passes.jpg").write_bytes(bombs.passes(200, 64))
    with pytest.raises(PictureError, match="passes or more, which takes too long"):
        decode(tmp_path / "passes.jpg")
    (tmp_path / "passes.jpg").write_bytes(bombs.passes(50, 64))
    assert decode(tmp_path / "passes.jpg").size == (64, 64)
