"""Articles made of captions: what is in them, and that the file gives them back."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from commands import run
from drawn import draw_pairs
from scipy import sparse

from visita.data import PairSet, open_pairs
from visita.data.articles import articles, write_articles
from visita.data.prose import sentences
from visita.errors import ConfigError, DataError


def captions_of(pairs: PairSet) -> dict[str, list[str]]:
    rows = (pairs.truth[[row]].indices for row in range(len(pairs.image_ids)))
    return {
        name: [pairs.texts[column] for column in columns]
        for name, columns in zip(pairs.image_ids, rows, strict=True)
    }


def plain(caption: str) -> str:
    return caption.removesuffix(".").strip().casefold()


def made_up(*captions: list[str], split: str = "train") -> PairSet:
    """Return an image for each list of captions; a caption in two lists is one text of both."""
    texts = list(dict.fromkeys(text for one in captions for text in one))
    truth = np.array([[text in one for text in texts] for one in captions]).reshape(-1, len(texts))
    return PairSet(
        source="made:up",
        image_ids=tuple(f"{row}.jpg" for row in range(len(captions))),
        image_paths=tuple(Path(f"/pictures/{row}.jpg") for row in range(len(captions))),
        texts=tuple(texts),
        truth=sparse.csr_array(truth),
        image_split=np.full(len(captions), split),
        text_split=np.full(len(texts), split),
    )


@pytest.mark.parametrize("noise", [0, 1, 10, 17])
def test_an_article_is_the_captions_of_its_image_and_noise_of_its_split(drawn_pairs, noise):
    made = articles(drawn_pairs, noise, seed=3)
    assert made.image_ids == drawn_pairs.image_ids
    assert made.splits() == drawn_pairs.splits()
    assert (made.text_split == drawn_pairs.image_split).all()
    assert made.truth.dtype == np.bool_
    assert (made.truth != sparse.eye_array(len(made.texts))).nnz == 0
    own, split_of = (
        captions_of(drawn_pairs),
        dict(zip(made.image_ids, made.image_split, strict=True)),
    )
    places = []
    for name, text in zip(made.image_ids, made.texts, strict=True):
        parts = [plain(one) for one in sentences(text)]
        assert len(parts) == 3 + noise
        mine = [plain(one) for one in own[name]]
        assert Counter(mine) <= Counter(parts)
        places += [parts.index(one) for one in mine]
        foreign = list((Counter(parts) - Counter(mine)).elements())
        assert len(set(foreign)) == len(foreign) and not set(foreign) & set(mine)
        peers = {
            other
            for other, captions in own.items()
            if other != name and split_of[other] == split_of[name]
            if {plain(one) for one in captions} & set(foreign)
        }
        assert len(peers) >= noise  # each from an image of its own, and all from this split
        known = {plain(one) for other in peers for one in own[other]}
        assert set(foreign) <= known
    assert noise == 0 or len(set(places)) == 3 + noise  # shuffled


def test_noise_repeats_images_only_when_they_run_out(drawn_pairs):
    small = drawn_pairs.take("dev")
    own = captions_of(small)
    most = min(
        len({plain(one) for other in own for one in own[other]} - {plain(one) for one in own[name]})
        for name in own
    )
    for text, name in zip(articles(small, 30).texts, small.image_ids, strict=True):
        foreign = [plain(one) for one in sentences(text)]
        counts = [
            sum(plain(one) in foreign for one in captions)
            for other, captions in own.items()
            if other != name
        ]
        assert min(counts) >= 1  # 17 others give one each, then 13 of them a second
    assert len(sentences(articles(small, most).texts[0])) == 3 + most
    with pytest.raises(
        DataError, match=r"split dev has only \d+ captions foreign to .*no more noise"
    ):
        articles(small, 3 * 18)


def test_the_seed_decides(drawn_pairs):
    one, again, other = (articles(drawn_pairs, 10, seed=seed).texts for seed in (0, 0, 1))
    assert one == again
    assert sum(first == second for first, second in zip(one, other, strict=True)) == 0


def test_what_is_true_of_an_image_is_never_its_noise():
    pairs = made_up(["a dog", "shared"], ["shared", "A DOG ", "a cat"], ["a dog .", "a cow"])
    for seed in range(20):
        first, second, third = (
            Counter(map(plain, sentences(text))) for text in articles(pairs, 1, seed).texts
        )
        assert first - Counter(["a dog", "shared"]) in (Counter(["a cat"]), Counter(["a cow"]))
        assert second == Counter(["a dog", "shared", "a cat", "a cow"])
        assert third - Counter(["a dog", "a cow"]) in (Counter(["shared"]), Counter(["a cat"]))
    with pytest.raises(DataError, match=r"only 2 captions foreign to 0\.jpg"):
        articles(pairs, 3)


def test_every_caption_ends_before_the_next():
    odd = [
        *("no mark", "a mark .", "really?", "tokenised !", "in the U.S.", "at 5 p.m.", "no", "12"),
        *(
            "wait ...",
            'reads "stop"',
            'says "stop!"',
            "(brackets)",
            "two\nlines",
            "好。",
            "没有",
            "etc",
        ),
        *("a letter A", "Washington D.C", "so long …", "comma,", "it's Jr.", "fig"),
    ]
    pairs = made_up(*([caption] for caption in odd))
    for seed in range(10):
        for article in articles(pairs, len(odd) - 1, seed).texts:
            found = sorted(one.rstrip(" .") for one in sentences(article))
            assert found == sorted(" ".join(one.split()).rstrip(" .") for one in odd)


def test_images_without_a_text_are_left_out_and_reported():
    pairs = made_up(["one"], [], ["two"])
    made = articles(pairs, 1)
    assert made.image_ids == ("0.jpg", "2.jpg")
    assert [(one.item, one.reason) for one in made.problems] == [
        ("1.jpg", "has no text for an article")
    ]
    with pytest.raises(DataError, match="no image has a text"):
        articles(pairs.subset(np.array([1])), 0)


def test_less_than_no_noise_is_refused(drawn_pairs):
    with pytest.raises(ConfigError, match="0 or more; not -1"):
        articles(drawn_pairs, -1)


# The file


@pytest.fixture
def folder(tmp_path) -> Path:
    draw_pairs(tmp_path / "set", 40)
    return tmp_path


def test_the_file_gives_the_articles_back(folder):
    made = articles(open_pairs(f"folder:{folder / 'set'}"), 5)
    write_articles(made, folder / "articles.jsonl")
    back = open_pairs(f"table:{folder / 'articles.jsonl'}")
    assert back.image_ids == tuple(f"set/{name}" for name in made.image_ids)
    assert back.texts == made.texts
    assert (back.truth != made.truth).nnz == 0
    assert (back.image_split == made.image_split).all()
    assert (back.text_split == made.text_split).all()
    assert back.problems == ()
    assert sorted(path.name for path in folder.iterdir()) == ["articles.jsonl", "set"]


def test_a_file_beside_a_linked_folder_is_read_through_the_link(folder):
    (folder / "work").mkdir()
    (folder / "work" / "linked").symlink_to(folder / "set")
    made = articles(open_pairs(f"folder:{folder}/work/linked"), 2)
    write_articles(made, folder / "work" / "articles.jsonl")
    with pytest.raises(DataError, match="--root DIR allows what is in DIR"):
        open_pairs(str(folder / "work" / "articles.jsonl"))
    back = open_pairs(str(folder / "work" / "articles.jsonl"), root=folder / "set")
    assert back.texts == made.texts


def test_a_file_that_could_not_be_read_back_is_not_written(folder):
    made = articles(open_pairs(f"folder:{folder / 'set'}"), 2)
    with pytest.raises(DataError, match=r"should end in \.jsonl"):
        write_articles(made, folder / "articles.txt")
    with pytest.raises(DataError, match=r"lies outside .*work.*folder that holds the pictures"):
        write_articles(made, folder / "work" / "articles.jsonl")
    assert [path.name for path in folder.iterdir()] == ["set"]
    (folder / "articles.jsonl").write_text("mine", "utf-8")
    with pytest.raises(DataError, match="exists; choose another name"):
        write_articles(made, folder / "articles.jsonl")
    assert (folder / "articles.jsonl").read_text("utf-8") == "mine"


# The command


def test_the_command_writes_articles_and_sums_them_up(folder):
    pairs, out = f"folder:{folder / 'set'}", folder / "articles.jsonl"
    done = run("data", "articles", pairs, "--noise", 5, "--out", out, "--seed", 2)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"40 articles (train 28, dev 6, test 6) with noise 5 are in {out}\n"
    expected = articles(open_pairs(pairs, seed=2), 5, seed=2)
    assert open_pairs(str(out)).texts == expected.texts
    assert open_pairs(str(out)).splits() == {"train": 28, "dev": 6, "test": 6}
    again = run("data", "articles", pairs, "--noise", 5, "--out", out)
    assert again.status == 2
    assert again.err == f"error: {out} exists; choose another name, or remove it first.\n"
    facts = run("data", "articles", pairs, "--noise", 0, "--out", folder / "0.jsonl", "--json").json
    assert facts == {
        "file": str(folder / "0.jsonl"),
        "articles": 40,
        "splits": {"train": 28, "dev": 6, "test": 6},
        "noise": 0,
        "seed": 0,
        "left_out": 0,
    }


@pytest.mark.slow
def test_a_full_disk_leaves_no_part_of_the_file(folder):
    words = [f"folder:{folder / 'set'}", "--noise", "5", "--out", str(folder / "articles.jsonl")]
    limited = 'ulimit -f 4; exec "$@"'  # files may have 4 KiB
    done = subprocess.run(
        ["bash", "-c", limited, "-", sys.executable, "-m", "visita", "data", "articles", *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and "File too large" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["set"]


def test_the_command_says_when_there_are_too_few_captions(folder):
    done = run(
        "data", "articles", f"folder:{folder / 'set'}", "--noise", 30, "--out", folder / "a.jsonl"
    )
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: folder:") and "choose no more noise" in done.err
    assert not (folder / "a.jsonl").exists()


# The real thing


@pytest.mark.slow
def test_articles_of_real_captions_are_cut_back_into_them(flickr8k):
    pairs = open_pairs(f"flickr8k:{flickr8k}").take("dev")
    made = articles(pairs, 30)
    own = captions_of(pairs)
    known = {plain(one) for text in pairs.texts for one in sentences(" ".join(text.split()))}
    whole = 0
    for name, text in zip(made.image_ids, made.texts, strict=True):
        found = [plain(one) for one in sentences(text)]
        assert len(found) >= 35
        whole += len(found) == 35
        assert {part for part in found if part.rstrip(" .") not in known} == set()
        mine = {plain(part) for one in own[name] for part in sentences(one)}
        assert mine <= set(found)
    assert whole > 900  # some captions are several sentences
