"""Captions chosen from texts, and the measures of how far they agree with people's."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from commands import run
from tiny import draw_scene, folder_of, two_stages

import visita
from visita.errors import ConfigError, DataError, PictureError
from visita.evaluation.captions import bleu, bleu_counts, caption_words, cider_d
from visita.matchers.rerank import DEPTH
from visita.search.caption import ALIKE
from visita.search.pair import Seen
from visita.vectors import unit

pytestmark = pytest.mark.slow

REFERENCES = [
    ["A brown dog runs on the beach.", "A dog is running by the sea", "dog on sand"],
    ["Two children play football.", "Kids playing with a ball in a park"],
    ["A man on a bike.", "A man's bike: red, and on a road!"],
]
CAPTIONS = ["a dog runs on the beach", "two dogs play", "a a a man on a red bike on a road"]


@pytest.fixture(scope="module")
def finder(drawn_pairs) -> visita.Finder:
    return visita.Finder(two_stages(drawn_pairs))


@pytest.fixture(scope="module")
def captioner(drawn_pairs, finder) -> visita.Captioner:
    return visita.Captioner(drawn_pairs.take("train").texts, matcher=finder)


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    paths = []
    for colour, background in (("red", "blue"), ("white", "black")):
        paths.append(tmp_path / f"{colour}.png")
        draw_scene(colour, background, 12).save(paths[-1])
    return paths


def test_captions_come_by_the_score_of_both_stages(captioner, finder, pictures):
    matcher = finder.matcher
    for picture in pictures:
        seen, found = finder.see([picture]), captioner.caption(picture, 4)
        cosines = seen.vectors[0] @ captioner.vectors.T  # a text's local scaling is left out

        def score(text: str, cosines=cosines, seen=seen) -> float:
            row = captioner.texts.index(text)
            second = matcher.reranker.scores(seen.packed, matcher.reranker.pack_texts([text])[0])
            return float(matcher.combine(cosines[row], second)[0])

        expected = [score(one.text) for one in found]
        assert [one.score for one in found] == pytest.approx(expected, abs=1e-3)
        assert expected == sorted(expected, reverse=True)
        # Nothing among the first stage's best is better and says something else.
        first = [captioner.texts[row] for row in np.argsort(-cosines, kind="stable")[:DEPTH]]
        assert found[0].text in first
        assert found[0].score >= max(map(score, first[:8])) - 1e-3


def test_one_stage_orders_all_texts_by_their_vectors(drawn_pairs, finder, pictures):
    one = visita.Captioner(drawn_pairs.take("dev").texts, matcher=finder.matcher.first)
    found = one.caption(pictures[0], 3)
    scores = one.vectors @ one.finder.embed_pictures([pictures[0]])[0]
    assert found[0].text == one.texts[int(scores.argmax())]
    assert found[0].score == pytest.approx(float(scores.max()), abs=1e-5)


def test_several_pictures_at_once_are_each_captioned_alone(captioner, finder):
    pictures = [draw_scene("red", "blue", 3), draw_scene("green", "white", 20)]
    seen = Seen.of(finder.matcher, finder.pictures.encode_pictures(pictures))
    together = captioner.captions(seen, 3)
    for picture, found in zip(pictures, together, strict=True):
        alone = captioner.caption(picture, 3)
        assert [one.text for one in alone] == [one.text for one in found]


def test_texts_that_say_the_same_are_given_once(finder, pictures):
    texts = ["a red circle", "a red circle", " a red circle ", "A red circle.", "a blue star", ""]
    captioner = visita.Captioner(texts, matcher=finder)
    assert captioner.texts == ("a red circle", "A red circle.", "a blue star")
    alike = captioner.vectors @ captioner.vectors.T
    assert alike[0, 1] >= ALIKE > alike[0, 2]
    found = captioner.caption(pictures[0])
    assert len(found) == 2
    assert {one.text.lower().rstrip(".") for one in found} == {"a red circle", "a blue star"}


def test_texts_count_by_the_direction_of_their_vectors(pictures):
    texts = ["a brown dog runs along the beach", "A brown dog runs along the beach.", "a red ball"]
    finder = visita.Finder("visita-small")
    found = visita.Captioner(texts, matcher=finder).caption(pictures[0])
    assert len(found) == 2  # two of them say the same
    for one in found:
        [vector] = unit(finder.embed_texts([one.text]))
        expected = finder.embed_pictures([pictures[0]])[0] @ vector
        assert one.score == pytest.approx(float(expected), abs=1e-5)
        assert abs(one.score) > abs(finder.match(pictures[0], one.text).score)


def test_texts_are_read_from_a_file_or_from_pairs(finder, drawn_folder, drawn_pairs, tmp_path):
    (tmp_path / "texts.txt").write_text("a red star\n\n  a boat  \n", "utf-8")
    assert visita.Captioner(tmp_path / "texts.txt", matcher=finder).texts == (
        "a red star",
        "a boat",
    )
    from_pairs = visita.Captioner(f"folder:{drawn_folder}", matcher=finder)
    assert set(from_pairs.texts) == set(drawn_pairs.texts)


def test_what_cannot_be_captioned_is_told(finder, captioner, pictures, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n", "utf-8")
    with pytest.raises(DataError, match="holds no text"):
        visita.Captioner(tmp_path / "empty.txt", matcher=finder)
    with pytest.raises(DataError, match="no text to choose"):
        visita.Captioner([" "], matcher=finder)
    with pytest.raises(DataError, match="does not exist"):
        visita.Captioner(tmp_path / "nowhere", matcher=finder)
    with pytest.raises(PictureError, match=r"nowhere\.jpg: cannot be read"):
        captioner.caption("nowhere.jpg")
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        captioner.caption(pictures[0], 0)


def test_caption_as_a_command(finder, pictures, tmp_path):
    folder = folder_of(finder)
    texts = tmp_path / "texts.txt"
    texts.write_text("a red circle on blue\na white circle on black\na green stripe\n", "utf-8")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    words = ("caption", *pictures[:1], broken, *pictures[1:], "--from", texts, "-k", 2)
    done = run(*words, "--matcher", folder)
    assert done.status == 0
    captioner = visita.Captioner(texts, matcher=finder)
    expected = [
        f"{picture}\t{one.score:.3f}\t{one.text}"
        for picture in pictures
        for one in captioner.caption(picture, 2)
    ]
    assert done.out.splitlines() == expected
    assert f"skipped {broken}: is not a picture" in done.err
    found = run(*words, "--json", "--matcher", folder).json
    assert found["texts"] == 3
    assert [one["image"] for one in found["pictures"]] == list(map(str, pictures))
    assert [one["item"] for one in found["skipped"]] == [str(broken)]
    none = run("caption", broken, "--from", texts, "--matcher", folder)
    assert (none.status, none.out) == (2, "")
    assert "None of the pictures" in none.err


def grams(words: list[str], size: int) -> Counter:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def naive_bleu(captions: list[str], references: list[list[str]]) -> float:
    logs, length, nearest = 0.0, 0, 0
    for size in range(1, 5):
        right = given = 0
        for caption, others in zip(captions, references, strict=True):
            own = grams(caption_words(caption), size)
            for gram, count in own.items():
                most = max(grams(caption_words(other), size)[gram] for other in others)
                right += min(count, most)
                given += count
        logs += math.log(right / given) / 4
    for caption, others in zip(captions, references, strict=True):
        own = len(caption_words(caption))
        lengths = sorted(len(caption_words(other)) for other in others)
        length += own
        nearest += min(lengths, key=lambda other: abs(other - own))
    return 100 * math.exp(logs) * min(1, math.exp(1 - nearest / length))


def naive_cider(caption: str, others: list[str], references: list[list[str]]) -> float:
    total = 0.0
    for size in range(1, 5):
        for other in others:
            own, theirs = (grams(caption_words(text), size) for text in (caption, other))

            def weight(gram) -> float:
                having = sum(
                    any(grams(caption_words(text), len(gram))[gram] for text in some)
                    for some in references
                )
                return math.log(len(references) / max(1, having))

            dot = sum(min(n, theirs[g]) * theirs[g] * weight(g) ** 2 for g, n in own.items())
            norms = [
                math.sqrt(sum((n * weight(g)) ** 2 for g, n in one.items()))
                for one in (own, theirs)
            ]
            distance = len(caption_words(caption)) - len(caption_words(other))
            if all(norms):
                total += dot / norms[0] / norms[1] * math.exp(-(distance**2) / 72)
    return 1000 * total / 4 / len(others)


def test_bleu_is_that_of_plain_loops():
    counts = bleu_counts(CAPTIONS, REFERENCES)
    assert counts.shape == (3, 10)
    assert bleu(counts.sum(0)[None]) == pytest.approx(naive_bleu(CAPTIONS, REFERENCES))
    same = bleu_counts([some[0] for some in REFERENCES], REFERENCES)
    assert bleu(same.sum(0)[None]) == pytest.approx(100)
    nothing = bleu_counts(["xyz", "", "xyz"], REFERENCES)
    assert bleu(nothing.sum(0)[None]) == 0


def test_cider_is_that_of_plain_loops():
    expected = [
        naive_cider(caption, others, REFERENCES)
        for caption, others in zip(CAPTIONS, REFERENCES, strict=True)
    ]
    assert cider_d(CAPTIONS, REFERENCES) == pytest.approx(expected)
    assert cider_d(["", "xyz", "a b"], REFERENCES)[0] == 0
    [one, *_] = cider_d([some[0] for some in REFERENCES], [[some[0]] for some in REFERENCES])
    assert one == pytest.approx(1000)


def test_measures_are_those_of_the_coco_evaluation():
    counts = bleu_counts(CAPTIONS, REFERENCES).sum(0)[None]
    # By pycocoevalcap 1.2 on the same words.
    assert bleu(counts)[0, 0] == pytest.approx(46.41428438582763)
    assert cider_d(CAPTIONS, REFERENCES).mean() == pytest.approx(207.68139141273835)
