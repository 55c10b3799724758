"""Too few pairs are refused before any picture is read, with how many are needed."""

from functools import partial

import pandas
import pytest
from drawn import draw_pairs

import visita
from visita.data.pairs import LEAST, check_enough
from visita.errors import DataError

SMALL = "visita-small"
CALLS = {
    "Training": partial(visita.train, config=visita.FusionConfig()),
    "Adapting": partial(visita.adapt, SMALL),
    "Fusing": partial(visita.fuse, [SMALL, "class-names"]),
    "Comparing": partial(visita.compare, [SMALL]),
    "Measuring": lambda data, _: visita.evaluate(SMALL, data),
    "Reproducing": partial(visita.reproduce, "fusion", split="test"),
}


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Return a folder of six drawn pairs, whose pictures are no pictures any more."""
    folder = tmp_path_factory.mktemp("few") / "set"
    for path in draw_pairs(folder, 6):
        path.write_bytes(b"unread")
    return folder


@pytest.mark.parametrize("doing", CALLS)
def test_six_pairs_are_too_few(few, tmp_path, doing):
    with pytest.raises(
        DataError, match=rf"^{doing} needs at least so many images .* has .* 1"
    ) as e:
        CALLS[doing](f"folder:{few}", tmp_path / "out")
    assert "Add pairs" in str(e.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("doing", CALLS)
def test_a_data_frame_is_taken_by_each_of_them(few, tmp_path, doing):
    names = [path.name for path in sorted(few.glob("*.*g"))]
    frame = pandas.DataFrame({"image": names, "text": names, "split": ["train"] * len(names)})
    frame.loc[0, "split"], frame.loc[1, "split"] = "dev", "test"
    frame["image"] = [str(few / name) for name in names]
    with pytest.raises(DataError, match=rf"^{doing} needs .*; pandas:DataFrame has .* 1"):
        CALLS[doing](frame, tmp_path / "out")


def test_robustness_too(few, tmp_path):
    with pytest.raises(DataError, match=r"^Measuring needs at least"):
        visita.robustness([SMALL], f"folder:{few}", tmp_path / "out", split="test")


@pytest.mark.parametrize(("count", "enough"), [(10, False), (11, False), (12, True), (30, True)])
def test_drawn_splits_are_enough_from_twelve_images_on(tmp_path, count, enough):
    draw_pairs(tmp_path, count)
    pairs = visita.open_pairs(f"folder:{tmp_path}")
    least = dict.fromkeys(("train", "dev", "test"), LEAST)
    if enough:
        check_enough(pairs, least, "Training")
    else:
        with pytest.raises(
            DataError, match=r"train 2, dev 2, test 2; folder:.* has train [78], dev"
        ):
            check_enough(pairs, least, "Training")


def test_images_that_share_a_text_count_as_one(tmp_path):
    draw_pairs(tmp_path, 4)
    lines = ["image,text,split", *(f"{n:05}.{e},same,train" for n, e in enumerate(SUFFIXES))]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), "utf-8")
    pairs = visita.open_pairs(str(tmp_path / "pairs.csv"))
    with pytest.raises(DataError, match=r"train 2; .* has train 1"):
        check_enough(pairs, {"train": 2}, "Training")


SUFFIXES = ("jpg", "png", "jpg", "png")
