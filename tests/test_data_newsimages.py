"""MediaEval's NewsImages on a miniature of its layout; its metrics against plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import run
from drawn import draw_pairs
from scipy import sparse

import visita
from visita.data import open_pairs
from visita.errors import ConfigError, DataError
from visita.evaluation.blocks import dot_blocks
from visita.evaluation.intervals import components
from visita.evaluation.news import news
from visita.evaluation.ranks import best_ranks

HEADER = "article\turl\timg\tiid\thashvalue\ttitle\ttext\timgFile"


@pytest.fixture(scope="module")
def batches(tmp_path_factory) -> Path:
    """Return January to April of 2019, ten articles each, and one whose answers are kept."""
    folder = tmp_path_factory.mktemp("newsimages")
    pictures = draw_pairs(folder / "newsimages", 40)
    for month in range(1, 5):
        lines = [HEADER]
        for number, picture in enumerate(pictures[10 * (month - 1) : 10 * month]):
            title = picture.with_suffix(".txt").read_text("utf-8").splitlines()[0]
            cells = (1000 * month + number, "https://a/b", "https://a/c.jpg", number, "00ff")
            snippet = 'Ein "Schnipsel"' if number else ""
            lines.append("\t".join(map(str, (*cells, title, snippet, picture.name))))
        file = folder / f"content2019-{month:02d}-v3.tsv"
        file.write_text("\n".join(lines) + "\n", "utf-8")
    hidden = folder / "content2019-05-articles.tsv"
    hidden.write_text("article\turl\ttitle\ttext\n1\tu\tT\tX\n", "utf-8")
    return folder


def test_april_is_test_and_of_the_rest_a_tenth_is_dev(batches):
    pairs = open_pairs(str(batches))  # recognised
    assert pairs.source == f"newsimages:{batches}" or pairs.source.startswith("newsimages:")
    assert pairs.splits() == {"train": 27, "dev": 3, "test": 10}
    test = pairs.take("test")
    assert [Path(name).stem for name in test.image_ids] == [f"{n:05d}" for n in range(30, 40)]
    assert test.truth.toarray().tolist() == np.eye(10, dtype=bool).tolist()
    assert "\n" not in test.texts[0] and test.texts[1].endswith('\nEin "Schnipsel"')
    assert [problem.item for problem in pairs.problems] == ["content2019-05-articles.tsv"]
    other = open_pairs(f"newsimages:{batches}", seed=1)
    assert not np.array_equal(other.image_split, pairs.image_split)


def test_later_years_name_pictures_by_their_ids_and_splits_are_drawn(tmp_path):
    pictures = draw_pairs(tmp_path / "newsimages", 20)
    for picture in pictures:
        picture.rename(picture.with_suffix(".jpg"))
    rows = [f"{n},https://a,Title {n},tag,{n:05d},https://b" for n in range(20)]
    header = "article_id,article_url,article_title,article_tags,image_id,image_url"
    (tmp_path / "articles.csv").write_text("\n".join([header, *rows]), "utf-8")
    pairs = open_pairs(f"newsimages:{tmp_path}")
    assert pairs.splits() == {"train": 14, "dev": 3, "test": 3}
    assert pairs.texts[0] == "Title 0\ntag"


def test_what_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="is not NewsImages"):
        open_pairs(f"newsimages:{tmp_path}")


def test_the_metrics_are_those_of_the_organisers():
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.arange(150 * 150).reshape(150, 150), axis=1).astype(np.float32)
    scores += 1000 * np.eye(150, dtype=np.float32) * (rng.random(150) < 0.5)
    truth = sparse.csr_array(np.eye(150, dtype=bool))
    ranks = best_ranks(dot_blocks(scores, np.eye(150, dtype=np.float32)), truth)
    found = news(ranks, components(truth), seed=0)
    places = {}
    for article, row in enumerate(scores):
        listed = np.argsort(-row)[:100].tolist()
        if article in listed:
            places[article] = 1 + listed.index(article)
    expected = {"MRR@100": sum(1 / place for place in places.values()) / 150}
    for k in (5, 10, 50, 100):
        expected[f"mean recall@{k}"] = sum(place <= k for place in places.values()) / 150
    assert len(places) < 150
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(100 * value), name
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_of_equal_scores_it_is_the_mean_over_their_orders():
    truth = sparse.csr_array(np.eye(4, dtype=bool))
    ranks = best_ranks(dot_blocks(np.ones((4, 1), np.float32), np.ones((4, 1), np.float32)), truth)
    found = news(ranks, components(truth), seed=0)
    assert found["MRR@100"]["value"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_the_command_measures_articles_where_asked(batches):
    data = f"newsimages:{batches}"
    done = run("evaluate", "visita-small", "--data", data, "--protocol", "newsimages")
    assert done.status == 0
    lines = [line.split("  ")[1].strip() for line in done.out.splitlines()[1:]]
    assert lines[0] == "newsimages MRR@100" and "newsimages mean recall@50" in lines
    report = visita.evaluate("visita-small", data, protocols=["newsimages"])
    [only] = report["protocols"]
    assert report["protocols"][only]["mean recall@10"]["value"] == 100  # of ten pictures
    assert "newsimages" not in visita.evaluate("visita-small", data)["protocols"]
    with pytest.raises(ConfigError, match="Folds"):
        visita.evaluate("visita-small", data, protocols=["newsimages"], folds=2)
