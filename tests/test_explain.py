"""Explanations: sums that add up, maps beside plain loops, and what is drawn of them."""

from __future__ import annotations

import math
import re
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run
from PIL import Image
from tiny import draw_scene, folder_of, two_stages

import visita
from visita.encoders.minilm import MiniLM
from visita.errors import ConfigError, DataError, PictureError
from visita.gallery.packing import as_kept
from visita.matchers.combine import FusedMatcher
from visita.matchers.cross_modal import CrossModalReranker
from visita.matchers.evidence import evidence
from visita.matchers.shares import added, split
from visita.networks.cross_modal import LEVELS, MklVisita
from visita.search.explain import GREY, Explanation, Kernel, Word, hide, words_of
from visita.search.explained import AGAINST, FOR, KERNELS, draw, shown, tint, write_page
from visita.search.pair import Pair
from visita.types import Recipe, TextFeatures

pytestmark = pytest.mark.slow

TEXT = "a red circle on a blue background"
KERNEL_NAMES = ("linear", "polynomial:3", "rbf:2", "laplacian:1")


@pytest.fixture(scope="module")
def finder(drawn_pairs) -> visita.Finder:
    return visita.Finder(two_stages(drawn_pairs))


@pytest.fixture(scope="module")
def scene() -> Image.Image:
    return draw_scene("red", "blue", 16)


@pytest.fixture(scope="module")
def explanation(finder, scene) -> Explanation:
    return visita.explain(finder, scene, TEXT)


@pytest.fixture(scope="module")
def one_stage(finder) -> visita.Finder:
    return visita.Finder(replace(finder.matcher.first, threshold=0.3))


@pytest.fixture
def photograph(scene, tmp_path) -> Path:
    scene.save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


@pytest.fixture(scope="module")
def network() -> MklVisita:
    torch.manual_seed(0)
    made = MklVisita(
        4,
        6,
        text={"side": "pretrained", "features": 5},
        width=16,
        dim=8,
        heads=2,
        depth=1,
        levels=LEVELS,
        kernels=KERNEL_NAMES,
    ).eval()
    torch.nn.init.normal_(made.kernels.logits)
    return made


def packed(network: MklVisita, seed: int, words: int = 3):
    rng = np.random.default_rng(seed)
    grid = torch.from_numpy(rng.normal(size=(1, 4, 6)).astype(np.float32))
    tokens = torch.from_numpy(rng.normal(size=(1, words, 5)).astype(np.float32))
    with torch.inference_mode():
        picture = network.image(grid).numpy().astype(np.float16)[0]
        text = network.text(tokens, torch.ones(1, words, dtype=torch.bool)).numpy()[0]
        known = torch.from_numpy(picture[None]).double(), torch.from_numpy(text[None]).double()
        return picture, text, float(deepcopy(network).double().score(*known))


def reranker(network: MklVisita) -> CrossModalReranker:
    return CrossModalReranker(
        recipe=Recipe({"efficientnet-lite0": ("block11:5x5",)}),
        text_encoder="minilm-l6",
        text_levels=("layer6",),
        network=network.arguments,
        tensors={name: value.numpy() for name, value in network.state_dict().items()},
        encoders={},
    )


@pytest.mark.parametrize("seed", range(3))
def test_evidence_sums_to_the_networks_score(network, seed):
    picture, text, score = packed(network, seed)
    found = evidence(reranker(network), picture, text)
    assert found.met.shape == (3, 4)
    assert sum(found.kernels.values()) == pytest.approx(score, abs=1e-5)
    assert found.met.sum() + found.whole + found.unrelated == pytest.approx(score, abs=1e-5)
    assert found.unrelated == pytest.approx(float(network.kernels.unrelated()), abs=1e-3)
    assert set(found.kernels) == {" ".join(pair) for pair in product(LEVELS, KERNEL_NAMES)}


def test_evidence_is_attention_times_how_well_a_part_is_answered(network):
    picture, text, _ = packed(network, 7)
    second = reranker(network)
    cells, words, phrases = picture[1:].astype(float), text[1:, :9], text[1:, 9:]
    met = np.zeros((3, 4))
    for level, asking, asked in (
        ("words", words, cells),
        ("phrases", phrases, cells),
        ("cells", cells, words),
    ):
        for q, one in enumerate(asking):
            cosines = [float(one[:8] @ other[:8]) for other in asked]
            raised = [math.exp(9.0 * cosine) for cosine in cosines]
            attention = [value / sum(raised) for value in raised]
            meeting = sum(a * other[:8] for a, other in zip(attention, asked, strict=True))
            cosine = float(one[:8] @ meeting) / float(np.linalg.norm(meeting))
            values, none = kernel_values(cosine), kernel_values(0.0)
            mixed = sum(
                second.kernel_weights[f"{level} {k}"] * (v - none[k]) for k, v in values.items()
            )
            for r, share in enumerate(attention):
                met[(r, q) if level == "cells" else (q, r)] += one[8] * mixed * share
    assert evidence(second, picture, text).met == pytest.approx(met, abs=1e-4)


def kernel_values(cosine: float) -> dict[str, float]:
    """Return the value of each kernel."""
    return {
        "linear": cosine,
        "polynomial:3": 2 * ((1 + cosine) / 2) ** 3 - 1,
        "rbf:2": ranged(math.exp(-2 * (2 - 2 * cosine)), math.exp(-8), 1),
        "laplacian:1": ranged(
            *(math.exp(-math.sqrt(2 - 2 * cosine)), math.exp(-2), math.exp(-0.01))
        ),
    }


def ranged(value: float, lowest: float, highest: float) -> float:
    """Return -1 for the lowest and 1 for the highest, and what lies between in proportion."""
    return 1 - 2 * (highest - value) / (highest - lowest)


def columns_of(matcher, n: int):
    encoders = {"efficientnet-lite2": dict(visita.Finder(matcher).pictures.columns())}
    rng = np.random.default_rng(0)
    return {
        name: rng.random((n, width), dtype=np.float32)
        for columns in encoders.values()
        for name, width in columns.items()
    }


def test_a_joined_matchers_vectors_are_sums_of_its_kernels():
    small = visita.load("visita-small")
    columns = columns_of(small, 3)
    rng = np.random.default_rng(1)
    width = 384 * len(small.text_levels)
    texts = TextFeatures(np.arange(4), rng.normal(size=(3, width)).astype(np.float32))
    parts = split(small)
    assert parts.kernels == {"fusion": 0.85, "class-names": 0.15}
    images, sentences = parts.images(columns), parts.texts(texts)
    assert images.shape == sentences.shape == (3, 2, 512)
    assert images.sum(1) == pytest.approx(small.embed_images(columns), abs=1e-4)
    assert sentences.sum(1) == pytest.approx(small.embed_texts(texts), abs=1e-4)
    scores = (small.embed_images(columns) * small.embed_texts(texts)).sum(1)
    assert added(images, sentences).sum(1) == pytest.approx(scores, abs=1e-4)


def test_a_fused_matchers_kernels_add_their_weight_times_their_similarity(finder):
    small = visita.load("visita-small")
    tiny = finder.matcher.first
    fused = FusedMatcher(name="both", parts=(small, tiny), weights=(0.7, 0.3))
    rng = np.random.default_rng(2)
    columns = columns_of(fused, 2)
    encoder = fused.open_text_encoder()
    texts = TextFeatures(np.arange(3), rng.normal(size=(2, encoder.dim)).astype(np.float32))
    parts = split(fused)
    assert parts.kernels == {"visita-small": 0.7, tiny.name: 0.3}
    found = added(parts.images(columns), parts.texts(texts))
    for place, (part, weight) in enumerate(zip(fused.parts, fused.weights, strict=True)):
        own = encoder.select(texts, part.open_text_encoder())
        similar = (part.embed_images(columns) * part.embed_texts(own)).sum(1)
        assert found[:, place] == pytest.approx(weight * similar, abs=1e-4)
    basis = np.linalg.qr(rng.normal(size=(fused.dim, 40)))[0].astype(np.float16)
    short = replace(fused, basis=basis)
    found = added(split(short).images(columns), split(short).texts(texts))
    scores = (short.embed_images(columns) * short.embed_texts(texts)).sum(1)
    assert found.sum(1) == pytest.approx(scores, abs=1e-4)


def test_what_the_kernels_add_sums_to_the_score(finder, scene, explanation):
    assert explanation.pair.score == pytest.approx(finder.match(scene, TEXT).score, abs=1e-5)
    assert explanation.pair.match is finder.match(scene, TEXT).match
    assert sum(one.adds for one in explanation.kernels) == pytest.approx(
        explanation.pair.score, abs=1e-4
    )
    assert sum(one.weight for one in explanation.kernels) == pytest.approx(1)
    names = [one.name for one in explanation.kernels]
    assert names[0] == "vectors: fusion"
    assert len(names) == 1 + len(LEVELS) * len(KERNEL_NAMES)


@pytest.fixture(scope="module")
def cat_and_coffee(photographs) -> Image.Image:
    _, cat, coffee = (Image.open(path).convert("RGB").resize((300, 300)) for path in photographs)
    both = Image.new("RGB", (600, 300))
    both.paste(cat, (0, 0))
    both.paste(coffee, (300, 0))
    return both


def test_words_attend_to_what_they_mean_in_a_photograph(cat_and_coffee):
    text = "A cat is sitting beside a cup of coffee."
    found = visita.explain("visita-base", cat_and_coffee, text)
    assert sum(one.adds for one in found.kernels) == pytest.approx(found.pair.score, abs=2e-3)
    hottest = {word.text: int(word.heat.argmax()) % 5 for word in found.words}
    assert hottest["cat"] < 2
    assert hottest["cup"] > 2
    assert hottest["coffee"] > 2


def test_kernels_of_locally_scaled_vectors_sum_to_the_score(cat_and_coffee):
    text = "A cat is sitting down. There is a cup of coffee."
    found = visita.explain("visita-small", cat_and_coffee, text)
    assert sum(one.adds for one in found.kernels) == pytest.approx(found.pair.score, abs=1e-4)


def test_the_heat_of_a_cell_is_what_hiding_it_costs(finder, scene, explanation):
    assert explanation.heat.shape == (5, 5)
    for row, column in ((3, 1), (0, 4)):
        pixels = np.array(scene)
        pixels[32 * row : 32 * (row + 1), 40 * column : 40 * (column + 1)] = GREY
        without = finder.match(Image.fromarray(pixels), TEXT).score
        assert explanation.heat[row, column] == pytest.approx(
            explanation.pair.score - without, abs=1e-4
        )


def test_the_effect_of_a_word_is_what_leaving_it_out_costs(finder, scene, explanation):
    words = TEXT.split()
    assert [word.text for word in explanation.words] == words
    for place in (1, 5):
        rest = " ".join(words[:place] + words[place + 1 :])
        without = finder.match(scene, rest).score
        assert explanation.words[place].effect == pytest.approx(
            explanation.pair.score - without, abs=1e-4
        )


def test_words_meet_cells_by_the_attention_of_the_second_stage(finder, scene, explanation):
    matcher = finder.matcher
    columns = as_kept(finder.pictures.encode_pictures([scene]))
    found = evidence(
        matcher.reranker,
        matcher.reranker.pack_images(columns)[0],
        matcher.reranker.pack_texts([TEXT])[0],
    )
    assert explanation.words_by == "attention"
    # Each of these words is one piece.
    for row, word in zip(found.met, explanation.words, strict=True):
        assert word.heat.ravel() == pytest.approx(matcher.weight * row, abs=1e-5)


def test_a_matcher_of_one_stage_explains_words_by_hiding(one_stage, scene):
    found = visita.explain(one_stage, scene, TEXT)
    assert found.words_by == "hiding"
    assert sum(one.adds for one in found.kernels) == pytest.approx(found.pair.score, abs=1e-4)
    hidden = hide(scene, [16])
    rest = TEXT.replace("red ", "")
    effects = [
        one_stage.match(picture, TEXT).score - one_stage.match(picture, rest).score
        for picture in (scene, hidden)
    ]
    assert found.words[1].heat[3, 1] == pytest.approx(effects[0] - effects[1], abs=1e-4)
    [word] = visita.explain(one_stage, scene, "red!").words
    assert word.text == "red"
    assert word.effect == pytest.approx(one_stage.match(scene, "red!").score, abs=1e-5)


def test_hiding_the_only_object_costs_most():
    finder, rng = visita.Finder("visita-base"), np.random.default_rng(0)
    for colour, background in (("green", "white"), ("blue", "yellow")):
        cell = int(rng.integers(25))
        picture = draw_scene(colour, background, cell)
        assert visita.explain(finder, picture, f"a {colour} ball").heat.argmax() == cell


def test_several_sentences_are_explained_together(finder, scene):
    text = "There is a red circle. It is in front of blue."
    found = visita.explain(finder, scene, text)
    assert [word.text for word in found.words][-3:] == ["front", "of", "blue"]
    assert found.pair.score == pytest.approx(finder.match(scene, text).score, abs=1e-5)
    assert sum(one.adds for one in found.kernels) == pytest.approx(found.pair.score, abs=1e-4)


def test_word_pieces_become_words_as_a_person_reads_them():
    text = "(The skateboarder's café — twenty-one wins!) ..."
    words = words_of(text)
    assert [word for word, _ in words] == ["The", "skateboarder's", "café", "twenty-one", "wins"]
    starts = [start for _, start in words]
    spans = MiniLM(("layer6",)).spans(text)
    owners = np.searchsorted(starts, spans[:, 0], "right") - 1
    by_word = ["".join(text[a:b] for a, b in spans[owners == w]) for w in range(len(words))]
    assert by_word == ["(The", "skateboarder's", "café—", "twenty-one", "wins!)..."]
    assert words_of("?!") == [("?!", 0)]


def test_as_many_spans_as_tokens():
    encoder = MiniLM(("layer6",))
    texts = ["a dog", "", "naïve skateboarders 照片 \ud83d", "the quick brown fox " * 80]
    counts = np.diff(encoder.tokens(texts).offsets)
    assert [len(encoder.spans(text)) for text in texts] == counts.tolist()
    assert encoder.spans("a dog").tolist() == [[0, 1], [2, 5]]


@pytest.mark.parametrize(
    ("picture", "text", "error", "message"),
    [
        (None, "", DataError, "The query is empty"),
        (None, " ".join(["word"] * 101), DataError, "at most 100 words"),
        (None, "One. Two. Three. Four. Five. Six. Seven. Eight. Nine.", DataError, "8 sentences"),
        ("nowhere.jpg", "a dog", PictureError, "nowhere.jpg: cannot be read"),
    ],
)
def test_what_cannot_be_explained_is_told(finder, scene, picture, text, error, message):
    with pytest.raises(error, match=message):
        visita.explain(finder, picture or scene, text)


def made_up(text: str = TEXT, kernels: int = 2, size: tuple[int, int] = (500, 400)) -> Explanation:
    heat = np.zeros((5, 5), np.float32)
    heat[1, 2], heat[4, 0] = 0.2, -0.1
    return Explanation(
        text=text,
        pair=Pair(0.4, None, 0.3),
        heat=heat,
        words=tuple(Word(word, 0.1, heat / 2) for word in text.split()),
        words_by="hiding",
        kernels=tuple(Kernel(f"kernel {n}", 1 / kernels, 0.4 / kernels) for n in range(kernels)),
        picture=Image.new("RGB", size, (120, 120, 120)),
    )


def test_heat_is_red_and_cold_is_blue():
    pixels = np.asarray(tint(made_up().heat, 0.2))
    assert pixels.shape == (5, 5, 4)
    assert tuple(pixels[1, 2, :3]) == FOR
    assert tuple(pixels[4, 0, :3]) == AGAINST
    assert pixels[1, 2, 3] == pytest.approx(2 * pixels[4, 0, 3], abs=1)
    assert pixels[0, 0, 3] == 0


def test_few_kernels_are_drawn_and_the_rest_is_one():
    found = shown(made_up(kernels=KERNELS + 3).kernels)
    assert len(found) == KERNELS + 1
    assert found[-1].name == "3 more"
    assert sum(one.adds for one in found) == pytest.approx(0.4)
    assert sum(one.weight for one in found) == pytest.approx(1)


def test_the_picture_is_hot_where_the_heat_is(tmp_path):
    draw(made_up(kernels=30), tmp_path / "out.png")
    pixels = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    red = (pixels[..., 0] - pixels[..., 2]).clip(0)
    blue = (pixels[..., 2] - pixels[..., 0]).clip(0)
    assert red.max() > 60
    assert blue.max() > 30
    # The sentence's map is the large one at the left; its hottest cell is in the second row.
    top, left = np.argwhere(pixels[:, 60:500, :].std(axis=2) > 20)[0]
    assert top < np.argwhere(blue[:, :500] > 30)[0][0]
    assert left > 0


def test_a_text_cannot_break_the_page(tmp_path):
    text = "<script>alert(1)</script> a \"dog\" & 'cat' {{ 7 * 7 }}"
    write_page(made_up(text, size=(900, 405)), tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    # Nothing is fetched.
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert re.findall(r"url\((data:image/jpeg)", page) == ["data:image/jpeg"]
    assert "default-src 'none'" in page
    assert page.count("data:image/png") == 1 + len(text.split())


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    for write, name in ((draw, "x.png"), (write_page, "x.html")):
        with pytest.raises(ConfigError, match="cannot be written"):
            write(made_up(), tmp_path / "nowhere" / name)


def test_explain_as_a_command(finder, photograph, tmp_path):
    folder = folder_of(finder)
    out = tmp_path / "out.html"
    done = run("explain", photograph, TEXT, "-o", out, "--matcher", folder)
    assert done.status == 0
    expected = visita.explain(finder, photograph, TEXT)
    lines = done.out.splitlines()
    assert lines[0] == str(expected.pair) == str(finder.match(photograph, TEXT))
    assert f"  {expected.words[1].effect:+.3f}  red" in lines
    assert lines[-1] == f"explanation: {out}"
    assert out.read_text("utf-8").startswith("<!doctype html>")
    found = run("explain", photograph, TEXT, "--json", "--matcher", folder).json
    assert found["image"] == str(photograph)
    assert found["score"] == pytest.approx(expected.pair.score, abs=1e-5)
    assert np.array(found["heat"]) == pytest.approx(expected.heat, abs=1e-4)
    assert [one["word"] for one in found["words"]] == TEXT.split()
    assert sum(one["adds"] for one in found["kernels"]) == pytest.approx(found["score"], abs=1e-4)


def test_what_is_not_to_be_there_is_not_explained(photograph):
    for text in ("beach -dog", "a beach without a dog"):
        with pytest.raises(DataError, match="leave out what it is not to show, here 'dog'"):
            visita.explain("visita-small", photograph, text)


def test_explain_refuses_in_one_line(photograph, tmp_path):
    before = photograph.read_bytes()
    own = run("explain", photograph, "a dog", "-o", photograph)
    assert own.status == 2 and "is the picture itself, and would be overwritten" in own.err
    assert photograph.read_bytes() == before
    wrong = run("explain", photograph, "x", "-o", tmp_path / "out.doc")
    assert wrong.status == 2
    assert "neither a .png nor an .html" in wrong.err
    missing = run("explain", tmp_path / "no.jpg", "a dog")
    assert (missing.status, missing.out) == (2, "")
    assert f"file '{tmp_path / 'no.jpg'}' does not exist" in missing.err
