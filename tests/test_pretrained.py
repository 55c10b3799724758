"""CLIP and its kin give what transformers itself computes with its own processors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_pretrained as tiny
import torch
import transformers as tf
from commands import run
from huggingface_hub import constants
from library_vectors import CASES, TEXTS, TWO_STAGES, ours, pictures, theirs
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

import visita
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.errors import ArtifactError, ConfigError, MismatchError, UnknownNameError
from visita.search.finder import Finder
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder, check_matcher, check_text_encoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

LONG = " ".join(f"the {word} dog runs on a star" for word in tiny.WORDS for _ in range(2))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the folder of each case's checkpoint."""
    return {n: case.write(tmp_path_factory.mktemp(n) / "tiny") for n, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_vectors_are_the_librarys_own(folders, name):
    found, expected = ours(CASES[name].family, folders[name]), theirs(name, folders[name])
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32 and one.shape == other.shape
        assert np.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_gallery_finds_by_the_librarys_cosines_and_the_contract_is_kept(folders, tmp_path, name):
    (tmp_path / "seen").mkdir()
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / "seen" / f"{number}.png")
    matcher = visita.load(f"{CASES[name].family}:{folders[name]}")
    assert (matcher.reranker is not None) == (name in TWO_STAGES)
    first = matcher.retriever
    gallery = visita.Gallery.open(tmp_path / "seen", matcher=first, home=tmp_path / "home")
    gallery.sync()
    images, words = theirs(name, folders[name])
    for text, cosines in zip(TEXTS, words @ images.T, strict=True):
        if text:
            found = {match.path.name: match for match in gallery.search(text, k=3)}
            scores = [found[f"{number}.png"].score for number in range(3)]
            assert np.allclose(scores, cosines, atol=1e-5)
            assert found["0.png"].probability is None
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures())
    check_matcher(matcher, columns, matcher.open_text_encoder().encode(TEXTS))


@pytest.mark.parametrize("name", ["clip", "siglip2", "blip", "naflex"])
def test_the_encoders_contracts(folders, name):
    family = CASES[name].family
    check_text_encoder(TEXT_ENCODERS.load(f"{family}:{folders[name]}")())
    if name in ("clip", "naflex"):
        check_encoder(IMAGE_ENCODERS.load(f"{family}:{folders[name]}")())


def far(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> list[bool]:
    """Tell of pictures and texts whether they differ by far more than the tests above allow."""
    return [bool(np.abs(a - b).max() > 2e-3) for a, b in zip(one, other, strict=True)]


def test_the_wrong_activation_is_another_model(folders, tmp_path):
    gelu = tiny.clip(tmp_path / "gelu", "gelu")  # the same weights
    found = ours("clip", gelu)
    assert far(found, ours("clip", folders["clip"])) == [True, True]
    assert far(found, theirs("clip", gelu)) == [False, False]


@pytest.mark.parametrize(
    "change",
    [{"resample": 2}, {"image_mean": [0.1, 0.2, 0.3]}, {"size": {"shortest_edge": tiny.SIDE}}],
)
def test_pictures_are_prepared_as_the_checkpoint_says(folders, tmp_path, change):
    other = tmp_path / "other"
    shutil.copytree(folders["clip"], other)
    tiny.set_in(other / "processor_config.json", "image_processor", **change)
    found = ours("clip", other)
    assert far(found, ours("clip", folders["clip"])) == [True, False]
    assert far(found, theirs("clip", other)) == [False, False]
    assert visita.load(f"clip:{other}").fingerprint() != fingerprint(folders["clip"])


def fingerprint(folder: Path) -> str:
    return visita.load(f"clip:{folder}").fingerprint()


def test_siglip_reads_padding_and_lower_case(folders):
    model = tf.SiglipModel.from_pretrained(folders["siglip2"]).eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(folders["siglip2"])
    with torch.inference_mode():
        bare = model.get_text_features(**tokenizer(["blue"], return_tensors="pt")).pooler_output
    [_, texts] = ours("siglip", folders["siglip2"])
    assert np.abs(texts[3] - bare[0].numpy()).max() > 2e-3
    encoder = TEXT_ENCODERS.load(f"siglip:{folders['siglip2']}")()
    one, other = encoder.encode(["a RED star", "a red star"]).vectors
    assert np.array_equal(one, other)
    first = TEXT_ENCODERS.load(f"siglip:{folders['siglip']}")()
    one, other = first.encode(["A red, star!", "a  red star"]).vectors
    assert np.array_equal(one, other)


def test_siglips_own_threshold_is_where_its_probability_is_half(folders):
    assert visita.load(f"siglip:{folders['siglip']}").threshold == pytest.approx(5 / np.exp(2.3))
    assert visita.load(f"clip:{folders['clip']}").threshold is None


@pytest.mark.parametrize(("name", "longest"), [("clip", 24), ("siglip", 30), ("blip", 35)])
def test_long_texts_become_passages_that_the_model_reads(folders, name, longest):
    matcher = visita.load(f"{CASES[name].family}:{folders[name]}")
    encoder = matcher.open_text_encoder()
    [passages] = encoder.reading.passages([LONG])
    assert len(passages) > 2 and max(map(len, passages)) <= longest
    around = len(encoder.reading.before), len(encoder.reading.after)
    inner = [one[around[0] : len(one) - around[1]] for one in passages]
    assert max(map(len, inner)) - min(map(len, inner)) <= 1
    found = encoder.encode([LONG])
    rows = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    mean = rows.mean(0)
    assert np.allclose(matcher.embed_texts(found)[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_hidden_layers_are_levels_by_their_number(folders):
    name = f"clip:{folders['clip']}"
    levels = ("layer1:grid", "layer3:cls", "layer3:avg")
    found = RecipeEncoder(Recipe({name: levels})).encode_pictures(pictures())
    texts = TEXT_ENCODERS.load(name)(("layer1", "layer3")).encode(TEXTS)
    model = tf.CLIPModel.from_pretrained(folders["clip"]).eval()
    processor = tf.AutoProcessor.from_pretrained(folders["clip"], backend="pil")
    with torch.inference_mode():
        seen = processor.image_processor(pictures(), return_tensors="pt")
        states = model.vision_model(**seen, output_hidden_states=True).hidden_states
        ids = processor.tokenizer([TEXTS[0]], return_tensors="pt")
        read = model.text_model(**ids, output_hidden_states=True).hidden_states
    expected = (states[1][:, 1:], states[3][:, 0], states[3][:, 1:].mean(1))
    for level, values in zip(levels, expected, strict=True):
        assert np.allclose(found[f"{name}/{level}"], values, atol=1e-4)
    whole = torch.cat([read[1].mean(1), read[3].mean(1)], 1)
    assert np.allclose(texts.vectors[0], whole[0], atol=1e-4)
    with pytest.raises(UnknownNameError, match="has no level 'layer4'"):
        _ = TEXT_ENCODERS.load(name)(("layer4",)).dim


def test_blips_head_scores_pairs_as_the_library_does(folders):
    matcher = visita.load(f"blip:{folders['blip']}")
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures())
    packed, texts = matcher.reranker.pack_images(columns), matcher.reranker.pack_texts(TEXTS)
    model = tf.BlipForImageTextRetrieval.from_pretrained(folders["blip"]).eval()
    processor = tf.AutoProcessor.from_pretrained(folders["blip"], backend="pil")
    seen = processor.image_processor(pictures(), return_tensors="pt")
    for text, read in zip(TEXTS, texts, strict=True):
        ids = processor.tokenizer([text] * 3, return_tensors="pt")["input_ids"]
        ids[:, 0] = model.config.text_config.vocab_size - 1  # [ENC]
        with torch.inference_mode():
            logits = model(input_ids=ids, **seen).itm_score[:, 1].numpy()
        assert np.allclose(matcher.reranker.scores(packed, read) * 16, logits, atol=3e-3)
    cosines, logits = np.array([0.2, 0.3], np.float32), np.array([3.0, -5.0], np.float32)
    both = matcher.combine(cosines, logits / 16)
    assert np.allclose(both * 17, cosines + logits, atol=1e-5)  # BLIP's sum


def test_blip2s_head_adds_the_nearest_querys_cosine_to_the_logit(folders):
    reranker = visita.load(f"blip2:{folders['blip2']}").reranker
    columns = RecipeEncoder(reranker.recipe).encode_pictures(pictures())
    packed, texts = reranker.pack_images(columns), reranker.pack_texts(TEXTS)
    model = tf.Blip2ForImageTextRetrieval.from_pretrained(folders["blip2"]).eval()
    processor = tf.AutoProcessor.from_pretrained(folders["blip2"], backend="pil")
    seen = processor.image_processor(pictures(), return_tensors="pt")
    for text, read in zip(TEXTS, texts, strict=True):
        ids = processor.tokenizer([text] * 3, return_tensors="pt")
        ids.pop("token_type_ids")
        with torch.inference_mode():
            match = model(**seen, **ids, use_image_text_matching_head=True).logits_per_image[:, 1]
            nearest = model(**seen, **ids).logits_per_image[:, 0]
        expected = (match + nearest).numpy()
        assert np.allclose(reranker.scores(packed, read) * reranker.scale, expected, atol=3e-3)


def test_a_picture_in_its_own_shape_is_averaged_over_its_own_patches(folders):
    name = f"siglip:{folders['naflex']}"
    levels = ("layer2:avg", "tokens:avg")
    found = RecipeEncoder(Recipe({name: levels})).encode_pictures(pictures())
    model = tf.Siglip2Model.from_pretrained(folders["naflex"]).eval().vision_model
    processor = tf.AutoImageProcessor.from_pretrained(folders["naflex"], backend="pil")
    for row, picture in enumerate(pictures()):
        seen = processor(picture, return_tensors="pt")
        [[high, wide]] = seen["spatial_shapes"].tolist()
        assert high * wide <= 12 and (high > wide) == (picture.height > picture.width)
        with torch.inference_mode():
            read = model(**seen, output_hidden_states=True)
        for level, states in zip(levels, (read.hidden_states[2], read[0]), strict=True):
            mean = states[0, : high * wide].mean(0)
            assert np.allclose(found[f"{name}/{level}"][row], mean, atol=1e-4)


def test_a_picture_in_its_own_shape_is_mirrored_as_a_picture(folders):
    name = f"siglip:{folders['naflex']}"
    encoder, recipe = IMAGE_ENCODERS.load(name)(), Recipe({name: ("layer2:avg",)}, mirror=True)
    turned = [ImageOps.mirror(picture) for picture in pictures()]
    for picture, other in zip(pictures(), turned, strict=True):
        [found] = encoder.mirrored(encoder.prepare(picture)[None])
        expected = encoder.prepare(other)
        assert np.abs(found.astype(int) - expected).max() <= 1  # Pillow rounds from the left
    both = RecipeEncoder(recipe).encode_pictures(pictures())
    mirrored = RecipeEncoder(recipe).encode_pictures(turned)
    plain, view = (f"{name}/layer2:avg{view}" for view in ("", "@mirror"))
    assert np.allclose(both[view], mirrored[plain], atol=2e-2)
    assert np.abs(both[view] - both[plain]).max() > 0.1


def test_a_long_text_is_scored_as_the_mean_of_its_passages(folders):
    second = visita.load(f"blip:{folders['blip']}").reranker
    rng = np.random.default_rng(0)
    packed = rng.normal(0, 1, (9, *second.packed_shape)).astype(np.float16)
    [read] = second.pack_texts([LONG])
    alone = [second.scores(packed, row[None]) for row in read]
    assert len(read) > 2 and not np.allclose(alone[0], alone[1])
    assert np.allclose(second.scores(packed, read), np.mean(alone, axis=0), atol=1e-6)


@pytest.mark.parametrize("name", ["siglip2", "blip"])
def test_a_saved_matcher_is_its_name_and_needs_the_same_checkpoint(folders, tmp_path, name):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(folders[name], checkpoint)
    matcher = visita.load(f"{CASES[name].family}:{checkpoint}")
    matcher.save(tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["manifest.json"]
    again = visita.load(tmp_path / "mine")
    assert again == matcher and again.fingerprint() == matcher.fingerprint()
    tiny.set_in(checkpoint / "tokenizer_config.json", None, padding_side="left")
    with pytest.raises(MismatchError, match="was saved with other files of"):
        visita.load(tmp_path / "mine")
    shutil.rmtree(checkpoint)
    with pytest.raises(ArtifactError):
        visita.load(tmp_path / "mine")


def test_half_precision_and_pickled_tensors_are_computed_in_full(folders, tmp_path):
    full = ours("clip", folders["clip"])
    half, pickled = tmp_path / "half", tmp_path / "pickled"
    for folder in (half, pickled):
        shutil.copytree(folders["clip"], folder)
    tf.CLIPModel.from_pretrained(half).half().save_pretrained(half)
    assert all(np.allclose(a, b, atol=0.03) for a, b in zip(ours("clip", half), full, strict=True))
    tiny.pickled(pickled)
    assert not (pickled / "model.safetensors").exists()
    assert all(np.array_equal(a, b) for a, b in zip(ours("clip", pickled), full, strict=True))


def test_another_family_or_half_a_model_is_refused(folders, tmp_path):
    with pytest.raises(ConfigError, match=r"is no siglip model: its config\.json says 'clip'"):
        visita.load(f"siglip:{folders['clip']}")
    lone = tmp_path / "lone"
    shutil.copytree(folders["clip"], lone)
    state = load_file(lone / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, lone / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="weights of a CLIPModel"):
        visita.load(f"clip:{lone}")
    with pytest.raises(UnknownNameError, match=r"nor clip:NAME, siglip:NAME"):
        visita.load("clop:openai/clip-vit-base-patch32")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """Return an empty cache of the hub, with the network switched off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_name_of_open_clip_is_the_same_weights_on_the_hub(folders, hub):
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = hub / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    shutil.copytree(folders["clip"], place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit, "utf-8")
    matcher = visita.load("clip:ViT-B-32/laion2b_s34b_b79k")
    assert matcher.name == "clip:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert matcher.fingerprint() == fingerprint(folders["clip"])


def test_offline_a_missing_checkpoint_is_named_with_the_command_that_fetches_it(hub):
    with pytest.raises(ArtifactError) as caught:
        visita.load("clip:ViT-B-16/openai")
    assert f"'openai/clip-vit-base-patch16' is not in {hub}" in str(caught.value)
    assert "run  hf download openai/clip-vit-base-patch16  first" in str(caught.value)


@pytest.fixture(scope="module")
def few(drawn_folder, tmp_path_factory) -> Path:
    """Return a folder of 30 drawn pictures with their captions."""
    folder = tmp_path_factory.mktemp("few")
    for file in sorted(drawn_folder.iterdir())[:60]:
        shutil.copy(file, folder)
    return folder


def test_the_command_line_searches_and_the_library_does_the_rest(folders, few, tmp_path):
    matcher = f"blip:{folders['blip']}"
    place = ("--matcher", matcher, "--gallery", tmp_path / "home")
    done = run("search", "a red circle", few, "--paths", "-k", "3", *place)
    assert done.status == 0, done.err
    found = done.out.splitlines()
    gallery = visita.Gallery.open(few, matcher=matcher, home=tmp_path / "home")
    assert [str(match.path) for match in gallery.search("a red circle", k=3)] == found
    [best] = gallery.search("a red circle", k=1)
    pair = Finder(matcher).match(best.path, "a red circle")
    # A gallery decodes a JPEG at about the size that is looked at.
    assert pair.score == pytest.approx(best.score, abs=5e-3) and pair.match is None
    report = visita.evaluate(matcher, f"folder:{few}", split="all", protocols=("retrieval",))
    assert set(report["protocols"]) == {"retrieval", "first stage"}
    told = visita.explain(matcher, best.path, "a circle")
    assert told.pair.score == pytest.approx(sum(one.adds for one in told.kernels), abs=1e-3)


def test_fusion_learns_on_hidden_layers_and_a_pretrained_text_tower(folders, few, tmp_path):
    name = f"clip:{folders['clip']}"
    done = run(
        *("train", "fusion", "--data", f"folder:{few}", "--out", tmp_path / "mine"),
        *("--image-encoder", name, "--levels", "2,layer3:cls,vector", "--json"),
        *("--set", f"text_encoder={name}", "--set", 'text_levels=["layer2", "layer3"]'),
        *("--set", "epochs=1", "--set", "dim=16", "--set", "fusion_dim=16", "--set", "hidden=16"),
        *("--set", "keywords_per_image=0", "--set", "mirror=false"),
    )
    assert done.status == 0, done.err
    trained = visita.load(tmp_path / "mine")
    assert trained.recipe.levels == {name: ("layer2:avg", "layer3:cls", "vector")}
    assert trained.text_encoder == name


def test_models_are_listed_with_size_licence_and_what_they_need():
    listed = run("models").out
    assert "matcher clip:openai/clip-vit-base-patch32: about 605 MB, MIT for the code" in listed
    assert "matcher blip:Salesforce/blip-itm-base-flickr: about 895 MB, BSD-3-Clause" in listed
    assert "pip install 'visita[transformers]'; two stages" in listed
    assert "text encoder siglip:NAME: any model of transformers by name" in listed


def test_large_pictures_are_read_whole_as_the_library_does(folders, tmp_path):
    large = tmp_path / "large.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(large)
    encoder = RecipeEncoder(visita.load(f"clip:{folders['clip']}").recipe)
    expected = encoder.encode_pictures([Image.open(large)])
    (batch,) = encoder.encode([("large", large)])
    for name, values in encoder.encode_pictures([large]).items():
        assert np.array_equal(values, expected[name])
        assert np.array_equal(values, batch.columns[name])
    assert set(encoder.facts()["decoding"].values()) == {"whole"}
