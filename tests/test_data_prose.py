"""Articles in any encoding, with any markup, and their sentences."""

import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from zoo import ordinary_user

from visita.data.files import LIMIT, decode_prose
from visita.data.prose import clean, read_article, sentences
from visita.errors import DataError

CHINESE = (
    "新华社北京五月三日电，记者从教育部获悉，今年全国高考报名人数达到940万人，比去年略有增长。"
    "专家表示，iPhone 手机与 NBA 比赛成为学生热议的话题。"
)
TRADITIONAL = (
    "中華民國今日表示，臺灣經濟發展與國際關係將持續穩定，專家學者認為這個問題還需要進一步討論。"
)
KOREAN = (
    "서울시장은 오늘 기자회견을 열고 새로운 정책에 대해 설명했습니다. 시민들은 이 문제를 토론했다."
)
JAPANESE = (
    "東京都知事は本日、記者会見を行い、新しい政策について説明しました。カメラとコンピュータ。"
)
RUSSIAN = "Сегодня мэр Москвы провёл пресс-конференцию."
FRENCH = "Le café est très bon, l'été dernier à la côte d'azur."
GERMAN = "Grüße aus München, schöne Häuser und viele Bäume."

# Decoding


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("text", [CHINESE, TRADITIONAL, "按照 AC/DC 的说法, it works."])
def test_chinese_is_read_in_every_usual_encoding(tmp_path, text, encoding):
    file = tmp_path / "article.txt"
    file.write_bytes(text.encode(encoding))
    assert decode_prose(file) == decode_prose(file.read_bytes()) == read_article(file) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [FRENCH, GERMAN, KOREAN, JAPANESE, RUSSIAN, "Plain ASCII."])
def test_unicode_is_read_in_every_language(text, encoding):
    assert read_article(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "latin-1"),
        (GERMAN, "latin-1"),
        ("It’s fine, the dog’s ball", "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (TRADITIONAL, "big5"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (KOREAN, "euc-kr"),
    ],
)
def test_other_encodings_are_refused_rather_than_read_as_nonsense(tmp_path, text, encoding):
    file = tmp_path / "old.txt"
    file.write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match=r"old\.txt is in no known encoding.*iconv -f"):
        read_article(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The text is empty; an article needs"),
        (b" \r\n\t\xef\xbb\xbf ", "no text"),
        (b"<html><script>alert(1)</script><!-- no --></html>", "holds markup but no text"),
        (b"&nbsp;&#8203;", "no text"),
        (b"PK\x03\x04\x00\x00", "is not a text: it holds zero bytes"),
        ("words".encode("utf-16-le"), "is not a text: it holds zero bytes"),
        (b"\xff\xfea", "is in no known encoding"),
        (b"x" * (LIMIT + 1), "is larger than 20 MB"),
    ],
    ids=["empty", "blank", "markup", "entities", "zip", "utf-16 unmarked", "odd utf-16", "huge"],
)
def test_what_holds_no_text_is_refused(tmp_path, content, message):
    file = tmp_path / "a.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_article(content)
    with pytest.raises(DataError, match=message.replace("The text", r"a\.txt")):
        read_article(file)


def test_a_long_article_is_read_to_the_end():
    text = read_article(b"<p>A dog runs. " * 100_000 + b"The end.")
    assert len(text) > 1_000_000
    assert text.endswith("A dog runs. The end.")


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt cannot be read: No such file"):
        read_article(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_article(tmp_path)
    stray = tmp_path / os.fsdecode(b"caf\xe9.txt")
    with pytest.raises(DataError, match=r"caf\\udce9\.txt cannot be read"):
        read_article(stray)
    with tempfile.TemporaryDirectory() as name:
        Path(name, "a.txt").write_text("x", "utf-8")
        Path(name).chmod(0)
        with ordinary_user(), pytest.raises(DataError, match="Permission denied"):
            read_article(Path(name, "a.txt"))
        Path(name).chmod(0o700)


# Cleaning


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("plain", "plain"),
        ("  two   spaces\t\u3000and\u00a0more ", "two spaces and more"),
        ("<p>One <b>bo</b>ld.</p>\n<p>Two\nlines.</p>", "One bold.\nTwo lines."),
        ("one<br>two<BR/>three<br />four", "one\ntwo\nthree\nfour"),
        ("<ul><li>a</li><li>b</li></ul>c", "a\nb\nc"),
        ("<h1 class='x > y'>Head</h1>body", "Head\nbody"),
        ("<title>News</title><style>p { x: '<b>' }</style>text", "News\ntext"),
        ("a<script type=x>if (a<b) document.write('<p>no</p>')</script >b", "a\nb"),
        ("a<SCRIPT>x</sCript\n>b<noscript><img src=x></noscript>", "a\nb"),
        ("<scripture>kept</scripture>", "kept"),
        ("a<!-- <p> - > -->b", "ab"),
        ("<!DOCTYPE html><?xml version='1.0'?><![CDATA[words]]>", "words"),
        ("<img alt=\"a > b\" src='x'>after", "after"),
        ("<a title=don't href=x>link</a>", "link"),
        ("<o:p></o:p><x-y z>custom</x-y>", "custom"),
        ("x &lt; y &amp; &quot;z&quot; &#65;&#x42;&eacute;&nbsp;", 'x < y & "z" ABé'),
        ("&lt;p&gt; is a tag", "<p> is a tag"),
        ("a < b, 3<4, <3, i <- j, mail <ann@b.org>, <http://b.org>", None),
        ("《论语》<论语>", None),
        ("zero\u200bwidth\ufeff \u202eright\u202c soft\u00adhyphen\x00\x07\x7f", None),
        ("&#8203;a&#0;b&#xD800;&#1114112;", "ab"),
        ("&#" + "9" * 5000 + ";a&#x" + "f" * 5000 + ";b", "ab"),
        ("lone \ud800 surrogate, \ue000private, \ufffd", "lone surrogate, private,"),
        ("", ""),
        ("<p>\n</p>", ""),
    ],
)
def test_cleaning(raw, expected):
    if expected is None:
        odd = "\u200b\ufeff\u202e\u202c\u00ad\x00\x07\x7f"
        expected = raw.translate(dict.fromkeys(map(ord, odd)))
    assert clean(raw) == expected


def test_lines_are_paragraphs_and_blank_lines_are_not_kept():
    assert clean("Heading\r\n\r\n\r\nFirst.\rSecond.\u2029Third.\x0bFourth.\n \n") == (
        "Heading\nFirst.\nSecond.\nThird.\nFourth."
    )


def test_text_that_was_wrapped_at_a_width_is_unwrapped():
    wrapped = (
        "A heading\n\nThe man in the blue coat walked\nacross the bridge, and nobody in\n"
        "New York saw him.\n\nThe end."
    )
    assert clean(wrapped) == (
        "A heading\nThe man in the blue coat walked across the bridge, and nobody in New York saw "
        "him.\nThe end."
    )
    long = "x" * 120
    assert clean(f"{long}\niPhones are sold.") == f"{long}\niPhones are sold."


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        *(
            "<",
            "<!",
            "<!--",
            "<![",
            "<?",
            "</",
            "<a ",
            "<a '",
            '<a x="',
            "<p>",
            "<p",
            "&",
            "&#",
            "&#1",
        ),
        *(
            "<script>",
            "<script></script ",
            "<svg></svgx>",
            "<![CDATA[",
            "\n",
            " \n",
            "\u200b",
            "x. ",
        ),
        *("<a a='\"' ", "]]>", "Mr. ", "...", '! " ', "。", "1. ", "'\"", "a\n", "x.a"),
    ],
)
def test_long_broken_markup_is_survived(unit):
    # html.parser needs many minutes for some of these.
    size = 200_000
    for hostile in (unit * (size // len(unit)), unit + "a" * size, unit + " " * size):
        text = clean(hostile)
        assert len(text) <= len(hostile)
        assert "".join("".join(sentences(text)).split()) == "".join(text.split())


# Sentences


@pytest.mark.parametrize(
    "parts",
    [
        ("A man runs.", "A dog barks!", "Why?", "Because."),
        ("A man runs .", "two dogs bark !", "end"),
        ("a red circle.", "a blue square."),
        ("He paid $3.5 million in 2.0 days.", "Then 5 men left."),
        ("Mr. Smith met Dr. Jones of the U.S. Senate, e.g. on Jan. 5 at 5 p.m. sharp.",),
        (
            "J. R. R. Tolkien et al. wrote Fig. 3, no. 7, etc. and left.",
            "So did I.",
            "It was done.",
        ),
        ("It opened at 5 p.m.", "Then it rained."),
        ("She said no.", "They sat in the sun.", "the art.", "the co-op."),
        ("Wait... what?", "Well...", "Yes.", "No… but why?", "Go…", "On."),
        ("He waited . . . and left .", "She did not ."),
        ('"Go away!" he said.', "“Never.”", "She left."),
        ("(See Fig. 3.)", "Next.", "[Really?]", "Yes."),
        ("What?!", "No!!!", "Yes…?", "OK."),
        ("Visit www.a.com or a.com/b?c=d.e today.", "Now."),
        ("1. First item.", "12. Second item.", "It was in 1990.", "Then 2000."),
        ("*** Stars.", "More stars ***"),
        ('They read " active . "',),
        ("“Stop!” a sign said.", "Dale Earnhardt Jr., driver."),
        ("他说：“你好！”", "然后走了。", "价格是3.5亿元……", "真的吗？！", "是的。"),
        ("（完。）", "“再见。”", "《书》！", "好"),
        ("中文。", "English here!", "又是中文。"),
        ("你好!", "我是小王.", "他在sohu.com工作。", "No.1是谁?", "“我”。"),
    ],
)
def test_sentences_are_cut_where_they_end(parts):
    chinese = any("\u4e00" <= letter <= "\u9fff" for letter in parts[0])
    for space in ("", " ") if chinese else (" ", "  "):
        assert sentences(space.join(parts)) == list(parts)


def test_a_line_ends_a_sentence():
    assert sentences("Dog wins prize\nA dog won.\n\n标题\r\n正文。\n***\n") == [
        *("Dog wins prize", "A dog won.", "标题", "正文。", "***"),
    ]
    assert sentences("") == sentences(" \n\u3000\n") == []


def test_no_character_is_lost_whatever_the_text():
    rng = np.random.default_rng(0)
    alphabet = [*"aB5。！？….!?\"'”)( \n\t，,中的“;", "Mr", "U.S", "p.m", "...", " . ", "\u3000"]
    for _ in range(3000):
        text = "".join(rng.choice(alphabet, size=rng.integers(1, 30)))
        found = sentences(text)
        assert "".join("".join(found).split()) == "".join(text.split())
        assert all(one and one == one.strip() and "\n" not in one for one in found)


def test_cutting_again_changes_nothing():
    text = 'Mr. Smith paid 3.5 million. Why? 他说：“你好！”然后走了。 Wait... what? "Go!" He left.'
    for sentence, following in itertools.pairwise(sentences(text)):
        assert sentences(sentence) == [sentence]
        assert sentences(f"{sentence} {following}") == [sentence, following]
