"""COCO's official files have no test captions: what is measured in their place is a choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import run
from drawn import draw_pairs
from test_data_readers import write_coco

import visita
from visita.data import open_pairs
from visita.errors import DataError


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    """Return COCO's layout with 12 pictures in train2017 and 8 in val2017."""
    folder = tmp_path_factory.mktemp("coco")
    for first, (part, count) in enumerate({"train": 12, "val": 8}.items()):
        pictures = draw_pairs(folder / f"{part}2017", count, seed=first)
        names = [picture.name for picture in pictures]
        file = folder / "annotations" / f"captions_{part}2017.json"
        write_coco(file, names, first=1 + 100 * first)
    return folder


def test_without_a_test_split_the_message_names_the_choices(coco):
    with pytest.raises(DataError) as raised:
        visita.evaluate("visita-small", f"coco:{coco}")
    for choice in ("--split val", "--split all", "coco-drawn:PATH", "karpathy-with-restval:"):
        assert choice in str(raised.value)
    with pytest.raises(DataError) as other:
        open_pairs(f"folder:{coco / 'val2017'}").take("dev").take("test")
    assert "coco-drawn" not in str(other.value)


def test_val_is_val2017_alone_and_all_is_both(coco):
    of_val = visita.evaluate("visita-small", f"coco:{coco}", split="val", protocols=["retrieval"])
    assert (of_val["split"], of_val["images"]) == ("dev", 8)
    done = run("evaluate", "visita-small", "--data", f"coco:{coco}", "--split", "val")
    assert done.status == 0 and "8 images, 16 texts" in done.out
    whole = visita.evaluate("visita-small", f"coco:{coco}", split="all", protocols=["retrieval"])
    assert whole["images"] == 20


def test_a_drawn_split_is_70_15_15_by_its_seed(coco):
    drawn = [open_pairs(f"coco-drawn:{coco}", seed=seed) for seed in (0, 0, 1)]
    assert all(pairs.splits() == {"train": 14, "dev": 3, "test": 3} for pairs in drawn)
    first, again, other = (pairs.image_split for pairs in drawn)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert drawn[0].source == f"coco-drawn:{coco}"
    assert set(drawn[0].image_ids) == set(open_pairs(f"coco:{coco}").image_ids)
