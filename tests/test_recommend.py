"""Pictures for an article: the command, and the same in Python."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Done, run
from drawn import COLOURS, SHAPES

import visita
from visita.data.pairs import PairSet
from visita.errors import ConfigError, DataError
from visita.search.past import UNLEARNT_WEIGHT

pytestmark = pytest.mark.slow

ARTICLE = """The exhibition opens on Sunday
There is a red circle on a blue background. Tickets cost five euros for adults.
The painter shows a red circle, in front of blue. Doors close at nine o'clock.
"""
SYLLABLES = ("zor", "bak", "lim", "tuv", "nex", "pra", "gol", "wim", "dax", "fep", "kor")
SYLLABLES += ("yul", "mib")
NAMES = dict(zip([*COLOURS, *SHAPES], SYLLABLES, strict=True))


def asked(*words: object, stdin: bytes = b"") -> Done:
    return run("recommend", *words, stdin=stdin)


def rows(done: Done) -> list[list[str]]:
    return [line.split("\t") for line in done.out.splitlines()]


@pytest.fixture(scope="module")
def pictures(drawn_folder, tmp_path_factory) -> Path:
    """Return a folder with sixty drawn pictures, which galleries of the module share."""
    folder = tmp_path_factory.mktemp("pictures")
    for path in sorted(drawn_folder.glob("*.[jp][pn]g"))[:60]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def gallery(pictures) -> visita.Gallery:
    one = visita.Gallery.open(pictures)
    one.sync()
    return one


@pytest.fixture(scope="module")
def named(drawn_pairs) -> PairSet:
    """Return the drawn pairs, half of them dev, told in words that no encoder has read."""
    texts = list(drawn_pairs.texts)
    for word, name in NAMES.items():
        texts = [text.replace(word, name) for text in texts]
    split = np.where(np.arange(120) % 2, "dev", "train")
    owners = drawn_pairs.truth.tocsc().indices
    return replace(
        drawn_pairs, texts=tuple(texts), image_split=split, text_split=split[owners], problems=()
    )


@pytest.fixture(scope="module")
def past(named, gallery) -> visita.Past:
    return visita.Past.learn(gallery.finder, named)


def test_the_command_prints_probability_path_and_the_passage_that_fits(pictures, gallery, tmp_path):
    (tmp_path / "article.txt").write_text(ARTICLE, "utf-8")
    done = asked(tmp_path / "article.txt", pictures, "-k", "3")
    assert done.status == 0
    found = visita.recommend([gallery], ARTICLE, k=3)
    assert rows(done) == [[f"{m.probability:.3f}", str(m.path), m.passage] for m in found]
    assert "red circle" in found[0].passage
    html = "".join(f"<p>{line}</p>" for line in ARTICLE.splitlines()).encode("utf-16")
    assert rows(asked("-", pictures, "-k", 3, stdin=html)) == rows(done)
    paths = asked("-", pictures, "-k", 3, "--paths", stdin=ARTICLE.encode())
    assert paths.out.split() == [str(match.path) for match in found]


def test_an_article_is_searched_as_a_long_text_and_each_picture_has_its_passage(
    gallery, drawn_folder
):
    path = next(p for p in gallery.snapshot.paths if " and " not in caption(drawn_folder, p, 0))
    told = [caption(drawn_folder, path, line) for line in range(3)]
    noise = ["Tickets cost five euros.", "The mayor spoke for an hour.", "Doors close at nine."]
    article = "\n".join(line for both in zip(noise, told, strict=True) for line in both)
    found = visita.recommend([gallery], article, k=60)
    assert [(m.path, m.score, m.probability) for m in found] == [
        (m.path, m.score, m.probability) for m in gallery.search(article, 60)
    ]
    [own] = [match for match in found if match.path == Path(path)]
    vector = gallery.snapshot.vectors[gallery.snapshot.paths.index(path)]
    fits = gallery.finder.embed_texts([*noise, *told]) @ vector
    assert own.passage == [*noise, *told][int(fits.argmax())]
    assert own.passage in told
    assert own.passage_score == pytest.approx(float(fits.max()), abs=1e-5)


def caption(folder: Path, picture: str, line: int) -> str:
    return (folder / Path(picture).name).with_suffix(".txt").read_text("utf-8").splitlines()[line]


def test_a_sentence_is_recommended_what_it_finds(gallery):
    text = "a red circle on a blue background"
    found = visita.recommend([gallery], text, k=5)
    assert [(m.path, m.score, m.probability) for m in found] == [
        (m.path, m.score, m.probability) for m in gallery.search(text, 5)
    ]
    assert {(m.passage, m.precedent) for m in found} == {(text, None)}
    assert found[0].passage_score == pytest.approx(found[0].score, abs=1e-6)


def test_the_past_teaches_names_that_the_matcher_cannot_know(past, gallery, named):
    assert past.learnt_on == 180
    assert past.weight > UNLEARNT_WEIGHT
    assert past.gain.low > 0
    article = named.texts[0]
    alone = visita.recommend([gallery], article, k=60)
    taught = visita.recommend([gallery], article, past=past, k=60)
    own = Path(named.image_paths[0]).name
    before, after = ([m.path.name for m in some].index(own) for some in (alone, taught))
    assert after < min(before, 10)


def test_the_reason_names_the_past_article_that_speaks_most_for_the_picture(past, gallery, named):
    article = named.texts[0]
    [best] = visita.recommend([gallery], article, past=past, k=1)
    rows, likeness, shares = past.articles.nearest(past.topics.encode([article]).vectors)
    vector = gallery.snapshot.vectors[gallery.snapshot.paths.index(str(best.path))]
    says = [
        share * float(past.articles.images[past.articles.pictures[row]] @ vector)
        for row, share in zip(rows[0], shares[0], strict=True)
    ]
    row = int(rows[0][int(np.argmax(says))])
    image = int(past.articles.pictures[row])
    assert best.precedent.text == past.pairs.texts[row]
    assert best.precedent.image_id == past.pairs.image_ids[image]
    assert best.precedent.picture == past.pairs.image_paths[image]
    assert best.precedent.likeness == pytest.approx(float(likeness[0][int(np.argmax(says))]))


def test_an_article_that_is_like_nothing_past_is_judged_by_its_text_alone(past, gallery):
    article = "Qqqq wwww zzzz vvvv."
    found = visita.recommend([gallery], article, past=past, k=4)
    assert [m.precedent for m in found] == [None] * 4
    assert [m.path for m in found] == [m.path for m in gallery.search(article, 4)]


def test_a_small_past_is_asked_with_a_fixed_weight(drawn_pairs, gallery):
    small = visita.Past.learn(gallery.finder, drawn_pairs.subset(np.arange(30)))
    assert (small.weight, small.learnt_on, small.gain) == (UNLEARNT_WEIGHT, 0, None)
    assert small.judge is gallery.finder.matcher
    found = visita.recommend([gallery], drawn_pairs.texts[0], past=small, k=2, threshold=0.0)
    assert found[0].precedent is not None
    assert 0 < found[0].probability < 1


def test_the_command_learns_from_past_pairs_of_which_some_pictures_are_missing(
    pictures, drawn_folder, tmp_path
):
    lines = []
    for number in range(12):
        [picture] = drawn_folder.glob(f"{number:05d}.[jp][pn]g")
        if number != 3:
            shutil.copy(picture, tmp_path)
        text = picture.with_suffix(".txt").read_text("utf-8").splitlines()[0]
        lines.append(json.dumps({"image": picture.name, "text": text}))
    (tmp_path / "past.jsonl").write_text("\n".join(lines), "utf-8")
    done = asked(
        *("-", pictures, "--past", tmp_path / "past.jsonl", "-k", "2", "--json"),
        stdin=ARTICLE.encode(),
    )
    assert done.status == 0
    assert "00003" in done.err
    report = json.loads(done.out)
    assert report["past"] == {
        "articles": 11, "weight": UNLEARNT_WEIGHT, "learnt_on": 0, "gain": None,
    }  # fmt: skip
    assert report["gallery_size"] == 60
    assert [len(match["precedent"]["text"]) > 9 for match in report["recommendations"]] == [
        True
    ] * 2
    printed = asked(
        "-", pictures, "--past", tmp_path / "past.jsonl", "-k", "2", stdin=ARTICLE.encode()
    )
    assert "past: 11 articles, weight 0.2; too few" in printed.err
    assert [(line[1], line[3], line[4]) for line in rows(printed)] == [
        (match["path"], match["precedent"]["picture"], match["precedent"]["text"])
        for match in report["recommendations"]
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"<html><script>var a = 1;</script><p></p></html>", "markup but no text"),
        ("Müllers Hündin läuft über die Brücke".encode("latin-1"), "no known encoding"),
    ],
)
def test_what_is_no_article_gets_a_clear_line(pictures, raw, message):
    done = asked("-", pictures, stdin=raw)
    assert (done.status, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_wrong_paths_and_hopeless_thresholds_are_told(pictures, tmp_path):
    absent = asked(tmp_path / "absent.txt", pictures)
    assert (absent.status, "absent.txt cannot be read" in absent.err) == (2, True)
    assert asked("-", tmp_path / "nowhere", stdin=b"a red circle").status == 2
    none = asked("-", pictures, "--threshold", "1", stdin=b"a red circle")
    assert (none.status, none.out) == (1, "")
    assert "no picture reaches 1.0" in none.err
    wrong = asked("-", pictures, "--past", tmp_path / "nothing", stdin=b"a red circle")
    assert (wrong.status, "does not exist" in wrong.err) == (2, True)


def test_a_folder_is_synchronized_and_sources_of_every_kind_are_read(pictures, gallery, tmp_path):
    (tmp_path / "a.html").write_text(f"<p>{ARTICLE}", "utf-8")
    expected = visita.recommend([gallery], ARTICLE.replace("\n", " "), k=2)
    assert visita.recommend(pictures, tmp_path / "a.html", k=2) == expected
    assert visita.recommend([gallery], b"<p>" + ARTICLE.encode(), k=2) == expected


def test_impossible_questions_are_refused(gallery, named):
    with pytest.raises(DataError, match="describe what the picture should show"):
        visita.recommend([gallery], " \n ")
    with pytest.raises(ConfigError, match="at least 1"):
        visita.recommend([gallery], "a dog", k=0)
    alone = named.subset(np.arange(1))
    with pytest.raises(DataError, match="share a word"):
        visita.Past.learn(gallery.finder, replace(alone, texts=("one", "two", "three")))
