"""Text encoders of sentence-transformers, number by number, and beside another's pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pretrained as tiny
import tiny_sentences
import torch
import transformers as tf
from huggingface_hub import constants
from safetensors.torch import load_file
from typer.testing import CliRunner

import visita
from visita.cli.app import app
from visita.data.decode import decode
from visita.encoders.table import TEXT_ENCODERS
from visita.errors import ArtifactError, ConfigError, MismatchError, UnknownNameError
from visita.search.finder import Finder
from visita.testing import check_matcher, check_text_encoder
from visita.types import FloatArray

pytestmark = pytest.mark.slow

TEXTS = ("A red circle", "the dog RUNS, on a star!", "", "blue", "ein hund am strand")
CASES: dict[str, dict[str, Any]] = {
    "clip-like": {},
    "minilm-like": {"kind": "bert", "dense": None},
    "first token": {"kind": "bert", "pooling": "cls", "activation": "torch.nn.Tanh"},
    "unit": {"unit": True, "activation": "torch.nn.modules.activation.GELU"},
}
ACTIVATIONS = {"clip-like": None, "first token": torch.tanh, "unit": torch.nn.functional.gelu}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the folder of each case's checkpoint."""
    return {
        name: tiny_sentences.write(tmp_path_factory.mktemp("sentences") / "tiny", **settings)
        for name, settings in CASES.items()
    }


def encoder(folder: Path, levels: tuple[str, ...] = ("vector",)) -> Any:
    return TEXT_ENCODERS.load(f"sentence-transformers:{folder}")(levels)


def naive(name: str, folder: Path, text: str) -> FloatArray:
    """Return the vector of one text, step by step: (d,)."""
    model = tf.AutoModel.from_pretrained(folder).eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    settings = CASES[name]
    with torch.inference_mode():
        [states] = model(input_ids=tokenizer(text, return_tensors="pt").input_ids)[0]
        vector = states[0] if settings.get("pooling") == "cls" else sum(states) / len(states)
        if name in ACTIVATIONS:
            state = load_file(folder / "2_Dense" / "model.safetensors")
            vector = state["linear.weight"] @ vector + state["linear.bias"]
            vector = ACTIVATIONS[name](vector) if ACTIVATIONS[name] else vector
        if settings.get("unit"):
            vector = vector / vector.square().sum().sqrt()
    return vector.numpy()


@pytest.mark.parametrize("name", CASES)
def test_vectors_are_pooled_and_projected_as_the_checkpoint_says(folders, name):
    found = encoder(folders[name]).encode(TEXTS)
    assert found.offsets.tolist() == list(range(len(TEXTS) + 1))
    expected = [naive(name, folders[name], text) for text in TEXTS]
    assert np.allclose(found.vectors, expected, atol=2e-5)


def test_the_contract_is_kept_and_layers_are_levels(folders):
    check_text_encoder(encoder(folders["clip-like"]))
    found = encoder(folders["clip-like"], ("layer1", "layer3")).encode([TEXTS[0]])
    model = tf.AutoModel.from_pretrained(folders["clip-like"]).eval()
    ids = tf.AutoTokenizer.from_pretrained(folders["clip-like"])(TEXTS[0], return_tensors="pt")
    with torch.inference_mode():
        states = model(input_ids=ids.input_ids, output_hidden_states=True).hidden_states
    expected = np.concatenate([states[n][0].numpy().mean(0) for n in (1, 3)])
    assert np.allclose(found.vectors[0], expected, atol=2e-5)
    with pytest.raises(UnknownNameError, match="has no level 'layer4'"):
        _ = encoder(folders["clip-like"], ("layer4",)).dim


def test_long_texts_become_passages_as_long_as_the_checkpoint_says(folders, tmp_path):
    long = " ".join(tiny.WORDS * 6)
    [passages] = encoder(folders["clip-like"]).reading.passages([long])
    assert len(passages) == 3 and {len(one) for one in passages} == {24}
    unsaid = tiny_sentences.write(tmp_path / "unsaid", longest=None)
    assert encoder(unsaid).reading.longest == 40  # what its positions allow
    lower = tmp_path / "lower"
    shutil.copytree(folders["clip-like"], lower)
    tiny.set_in(lower / "sentence_bert_config.json", None, do_lower_case=True)
    assert encoder(lower).reading.clean == "lower"


def test_pickled_tensors_are_read_and_nothing_else(folders, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folders["clip-like"], other)
    tiny.pickled(other)
    weights = other / "2_Dense" / "model.safetensors"
    torch.save(load_file(weights), other / "2_Dense" / "pytorch_model.bin")
    weights.unlink()
    found, expected = (encoder(one).encode(TEXTS) for one in (other, folders["clip-like"]))
    assert np.allclose(found.vectors, expected.vectors, atol=1e-6)
    torch.save({"linear": torch.nn.Linear(24, 16)}, other / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        _ = encoder(other).dim


def change(folder: Path, file: str, edit: Any) -> None:
    whole = json.loads((folder / file).read_text("utf-8"))
    (folder / file).write_text(json.dumps(edit(whole) or whole), "utf-8")


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("1_Pooling/config.json", lambda _: {"pooling_mode": "lasttoken"}, "by lasttoken"),
        (
            "1_Pooling/config.json",
            lambda c: c.update(pooling_mode_max_tokens=True),
            "by mean and max",
        ),
        ("modules.json", lambda c: c[2].update(type="sentence_transformers.models.LSTM"), "LSTM"),
        ("modules.json", lambda c: c[0].update(type="custom.Transformer"), "code of its own"),
        ("modules.json", lambda c: c[0].update(path="0_Transformer"), "at the top of the folder"),
        ("modules.json", lambda _: {"a": 1}, "no sound modules.json"),
        ("2_Dense/config.json", lambda c: c.update(activation_function="my.Own"), "dense layer"),
        ("2_Dense/config.json", lambda c: c.update(use_residual=True), "dense layer"),
        (
            "config_sentence_transformers.json",
            lambda _: {"prompts": {"query": "query: "}, "default_prompt_name": "query"},
            "behind the words 'query: '",
        ),
    ],
)
def test_what_would_give_other_vectors_is_refused(folders, tmp_path, file, edit, said):
    other = tmp_path / "other"
    shutil.copytree(folders["clip-like"], other)
    (other / "config_sentence_transformers.json").write_text("{}", "utf-8")
    change(other, file, edit)
    with pytest.raises(ConfigError, match=said):
        _ = encoder(other).dim


def test_a_folder_in_another_layout_is_refused(folders, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folders["clip-like"], other)
    (other / "modules.json").unlink()
    with pytest.raises(ConfigError, match=r"not in the layout of sentence-transformers"):
        _ = encoder(other).dim


def test_a_name_is_the_hubs_and_says_how_it_is_fetched(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    name = "sentence-transformers/clip-ViT-B-32-multilingual-v1"
    with pytest.raises(ArtifactError, match=f"run  hf download {name}  first"):
        _ = encoder(Path(name)).dim
    place = tmp_path / f"models--{name.replace('/', '--')}"
    shutil.copytree(folders["clip-like"], place / "snapshots" / "0123")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0123", "utf-8")
    assert encoder(Path(name)).fingerprint() == encoder(folders["clip-like"]).fingerprint()


@pytest.mark.parametrize(
    ("listed", "known"),
    [
        ("- multilingual\n- de\n- fr-ca\n- zh-cn\n- zh-tw\n- no\n", ("de", "fr", "no", "zh")),
        ("- nb\n- en\n", ("en", "no")),
        ("- multilingual\n", None),
        ("", None),
    ],
)
def test_languages_are_those_of_the_models_card(tmp_path, listed, known):
    found = encoder(tiny_sentences.write(tmp_path / "tiny", languages=listed))
    assert found.languages == known
    mark = found.fingerprint()
    (tmp_path / "tiny" / "README.md").write_text("# Nothing", "utf-8")
    again = encoder(tmp_path / "tiny")
    assert again.fingerprint() == mark and again.languages is None


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    """Return the name of a CLIP whose vectors are 16 wide."""
    return f"clip:{tiny.clip(tmp_path_factory.mktemp('clip') / 'tiny')}"


@pytest.fixture(scope="module")
def few(drawn_folder, tmp_path_factory) -> Path:
    """Return a folder of 20 drawn pictures with their captions."""
    folder = tmp_path_factory.mktemp("few")
    for file in sorted(drawn_folder.iterdir())[:40]:
        shutil.copy(file, folder)
    return folder


def test_the_text_tower_is_replaced_and_the_pictures_stay_as_they_are(folders, clip, few):
    plain = visita.load(clip)
    name = f"sentence-transformers:{folders['clip-like']}"
    matcher = visita.load(clip, text_encoder=name)
    assert matcher.recipe == plain.recipe and matcher.text_encoder == name
    assert matcher.fingerprint() != plain.fingerprint()
    pictures = sorted(few.glob("*.jpg"))[:3]
    assert np.array_equal(
        Finder(matcher).embed_pictures(pictures), Finder(plain).embed_pictures(pictures)
    )
    [vector] = Finder(matcher).embed_texts(["a red circle"])
    expected = naive("clip-like", folders["clip-like"], "a red circle")
    assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)
    columns = Finder(plain).pictures.encode_pictures([decode(picture) for picture in pictures])
    check_matcher(matcher, columns, matcher.open_text_encoder().encode(TEXTS))


def test_saved_it_is_two_names_and_needs_both_checkpoints(folders, clip, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(folders["clip-like"], checkpoint)
    matcher = visita.load(clip, text_encoder=f"sentence-transformers:{checkpoint}")
    matcher.save(tmp_path / "mine")
    again = visita.load(tmp_path / "mine")
    assert again == matcher and again.fingerprint() == matcher.fingerprint()
    tiny.set_in(checkpoint / "sentence_bert_config.json", None, max_seq_length=12)
    with pytest.raises(MismatchError, match="was saved with other files of"):
        visita.load(tmp_path / "mine")


def test_a_text_encoder_of_another_width_is_refused(folders, clip):
    with pytest.raises(MismatchError, match=r"24 wide.*16 wide.*trained to share the space"):
        visita.load(clip, text_encoder=f"sentence-transformers:{folders['minilm-like']}")
    with pytest.raises(UnknownNameError, match="No text encoder is called 'sentence-transformer:x"):
        visita.load(clip, text_encoder="sentence-transformer:x")
    with pytest.raises(UnknownNameError, match="minilm-l6 has no level 'vector'"):
        visita.load(clip, text_encoder="minilm-l6")


def test_only_two_towers_can_have_another_text_encoder(folders, tmp_path):
    name = f"sentence-transformers:{folders['clip-like']}"
    blip = tiny.blip(tmp_path / "blip")
    with pytest.raises(ConfigError, match="reads a text and a picture together"):
        visita.load(f"blip:{blip}", text_encoder=name)
    with pytest.raises(ConfigError, match=r"visita-small.*such as clip:NAME, takes"):
        visita.load("visita-small", text_encoder=name)


def run(*words: str | Path, status: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == status, (done.output, done.exception)
    return done


def test_the_command_line_takes_it_by_name(folders, clip, few, tmp_path):
    name = f"sentence-transformers:{folders['clip-like']}"
    where = ("--matcher", clip, "--text-encoder", name)
    home = (*where, "--gallery", tmp_path / "home")
    run("index", few, "--matcher", clip, "--gallery", tmp_path / "home")
    listed = run("search", "a red circle", few, "-k", "3", "--paths", *home)
    matcher = visita.load(clip, text_encoder=name)
    gallery = visita.Gallery.open(few, matcher=matcher, home=tmp_path / "home")
    expected = [str(match.path) for match in gallery.search("a red circle", k=3)]
    assert listed.stdout.splitlines() == expected
    article = tmp_path / "article.txt"
    article.write_text("A red circle. A blue star.", "utf-8")
    run("recommend", article, few, *home)
    picture = sorted(few.glob("*.jpg"))[0]
    score = json.loads(run("match", picture, "a red circle", *where, "--json").stdout)["score"]
    assert score == pytest.approx(Finder(matcher).match(picture, "a red circle").score)
    run("caption", picture, "--from", f"folder:{few}", *where)
    run("answer", picture, "What shape is it?", "--choices", "circle,star", *where)
    run("explain", picture, "a red circle", *where)
    data = ("--data", f"folder:{few}", "--split", "all", "--protocol", "retrieval", "--json")
    report = json.loads(run("evaluate", clip, "--text-encoder", name, *data).stdout)
    assert report["matcher"]["fingerprint"] == matcher.fingerprint()
    refused = run("search", "a dog", few, "--text-encoder", name, status=2)
    assert "such as clip:NAME, takes another" in " ".join(refused.stderr.split())


def test_fusion_learns_on_it(folders, clip, few, tmp_path):
    data = f"folder:{few}"
    config = visita.FusionConfig(
        image_levels={clip: ("layer2:avg", "vector")},
        mirror=False,
        text_encoder=f"sentence-transformers:{folders['clip-like']}",
        text_levels=("vector",),
        **{"dim": 16, "fusion_dim": 16, "hidden": 16, "epochs": 1, "keywords_per_image": 0},
        class_names_weight=0,
    )
    trained = visita.train(data, tmp_path / "mine", config=config)
    assert trained.matcher.text_encoder == config.text_encoder
    again = visita.load(tmp_path / "mine")
    [one, other] = (Finder(m).embed_texts(["a red circle"]) for m in (trained.matcher, again))
    assert one.shape == (1, trained.matcher.dim) and np.allclose(one, other, atol=1e-4)
