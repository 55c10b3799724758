"""The reader of Sohu's competition on a miniature in its layout."""

from pathlib import Path

import pytest
from zoo import landmark

from visita.data import PairSet, check_pairs, open_pairs
from visita.data.prose import sentences
from visita.data.readers.bounds import OUTSIDE
from visita.errors import DataError

BODY = "记者从教育部获悉，今年全国高考报名人数达到940万人。专家表示，这是一个好的现象。"


def write_miniature(folder: Path) -> Path:
    """Write eight pictures and seven texts in both encodings, and a list with all its oddities."""
    pictures, texts = folder / "News_pic_info_train", folder / "News_info_train"
    pictures.mkdir(parents=True)
    texts.mkdir()
    for number in range(1, 9):
        landmark().resize((20 + number, 20)).save(pictures / f"{number}.jpg")
    news = {
        "11": ("utf-8", f"http://sohu.com/a\t高考报名结束\t{BODY}"),
        "12": (
            "gb18030",
            f"http://sohu.com/b\t高考&nbsp;今日<b>开始</b>\t<p>{BODY}</p><p>完</p>\n",
        ),
        "13": ("utf-8-sig", "http://sohu.com/c\t\t\u3000\u3000只有\u200b正文\ue000。\t还有一列。"),
        "14": ("utf-8", "http://sohu.com/d\t只有标题\t<script>alert('x')</script>"),
        "15": ("utf-8", "http://sohu.com/e\tiPhone 8\tApple announced it. 3.5 million wait."),
        "16": ("utf-8", "http://sohu.com/f\t \t<br/>"),
        "17": ("utf-8", "没有制表符的新闻。"),
        "18": ("latin-1", "http://sohu.com/g\tcaf\xe9\t\xe9t\xe9 "),
    }
    for name, (encoding, text) in news.items():
        (texts / f"{name}.txt").write_bytes(text.encode(encoding))
    lines = [
        *("1.jpg\t11.txt", "2.jpg      11.txt", "2.jpg 12.txt", "3 13", "4.jpg 14", "5 15.txt\r"),
        *("6.jpg 16.txt", "6.jpg 17.txt", "6.jpg 18.txt", "6.jpg 99.txt", "99.jpg 15.txt", ""),
        *("one", "1.jpg 11.txt yes", "../1.jpg 11.txt", "1.jpg ../News_info_train/11.txt"),
        "1.jpg " + "9" * 300,
    ]
    (folder / "trainMatching.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture
def sohu(tmp_path) -> Path:
    return write_miniature(tmp_path / "formalCompetition4")


def links(pairs: PairSet) -> set[tuple[str, str]]:
    rows, columns = pairs.truth.nonzero()
    return {(pairs.image_ids[i], pairs.texts[j]) for i, j in zip(rows, columns, strict=True)}


def test_news_are_read_in_both_encodings_and_cleaned(sohu):
    pairs = open_pairs(str(sohu))
    assert pairs.source == f"sohu:{sohu}"
    assert pairs.image_ids == ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg")
    assert pairs.image_paths[0] == sohu / "News_pic_info_train" / "1.jpg"
    first = f"高考报名结束\n{BODY}"
    assert links(pairs) == {
        ("1.jpg", first),
        ("2.jpg", first),
        ("2.jpg", f"高考 今日开始\n{BODY}\n完"),
        ("3.jpg", "只有正文。 还有一列。"),
        ("4.jpg", "只有标题"),
        ("5.jpg", "iPhone 8\nApple announced it. 3.5 million wait."),
    }
    assert sentences(first) == ["高考报名结束", *(f"{part}。" for part in BODY.split("。")[:-1])]
    assert {one.kind for one in check_pairs(pairs).findings} == {"left-out"}


def test_what_is_left_out_is_reported(sohu):
    found = {one.item: one.reason for one in open_pairs(str(sohu)).problems}
    assert "is in no known encoding" in found.pop("18.txt")
    assert found.pop("../1.jpg") == found.pop("../News_info_train/11.txt") == OUTSIDE
    assert found == {
        "16.txt": "has neither title nor body",
        "17.txt": "is not  address <tab> title <tab> body",
        "99.txt": "there is no such text",
        "99.jpg": "there is no such picture",
        "9" * 300 + ".txt": "cannot be read: File name too long",
        "trainMatching.txt:13": "is not  picture <space> text",
        "trainMatching.txt:14": "is not  picture <space> text",
    }


def test_splits_are_drawn_by_the_seed_and_keep_together_what_shares_a_text(tmp_path):
    pictures, texts = tmp_path / "News_pic_info_train", tmp_path / "News_info_train"
    pictures.mkdir()
    texts.mkdir()
    lines = []
    for number in range(60):
        landmark().resize((20 + number, 20)).save(pictures / f"{number}.jpg")
        (texts / f"{number // 2}.txt").write_text(f"u\t标题{number // 2}\t正文。", "utf-8")
        lines.append(f"{number}.jpg {number // 2}.txt")
    (tmp_path / "trainMatching.txt").write_text("\n".join(lines), "utf-8")
    one, again, other = (open_pairs(f"sohu:{tmp_path}", seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert one.splits() == {"train": 42, "dev": 10, "test": 8}
    assert (one.image_split[0::2] == one.image_split[1::2]).all()
    assert (one.text_split == one.image_split[0::2]).all()


def test_a_missing_part_says_what_is_looked_for(sohu):
    (sohu / "News_info_train").rename(sohu / "News_info")
    with pytest.raises(DataError, match=r"is not Sohu's: it should be a folder with trainMatching"):
        open_pairs(str(sohu))


def test_a_list_without_a_pair_is_refused(sohu):
    (sohu / "trainMatching.txt").write_text("", "utf-8")
    with pytest.raises(DataError, match="no image with a text is left to use"):
        open_pairs(str(sohu))
