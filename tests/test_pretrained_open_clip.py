"""Models of open_clip give what open_clip computes, from the picture's file and the text on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open_clip", reason="needs the extra open-clip")

import tiny_pretrained as tiny
import torch
from huggingface_hub import constants
from library_vectors import TEXTS, pictures
from refusing import refusal
from safetensors.torch import load_file
from tiny_open_clip import ARCHITECTURES, open_clip, write

import visita
from visita.encoders.pretrained import open_clip_list
from visita.encoders.table import TEXT_ENCODERS
from visita.errors import ArtifactError, ConfigError, UnknownNameError
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.types import Recipe
from visita.vectors import unit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the folder of each architecture, written when it is asked for."""

    class Written(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            self[name] = write(tmp_path_factory.mktemp(name) / "tiny", name)
            return self[name]

    return Written()


def theirs(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors that open_clip computes."""
    model, _, transform = open_clip.create_model_and_transforms(
        f"local-dir:{folder}", pretrained_text=False
    )
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(list(TEXTS))
    with torch.inference_mode():
        seen = torch.stack([transform(picture) for picture in pictures()])
        images, texts = model.eval().encode_image(seen), model.encode_text(ids)
    return unit(images.numpy()), unit(texts.numpy())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_gallery_finds_by_open_clips_cosines(folders, tmp_path, name):
    (tmp_path / "seen").mkdir()
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / "seen" / f"{number}.png")
    matcher = visita.load(f"open-clip:{folders[name]}")
    gallery = visita.Gallery.open(tmp_path / "seen", matcher=matcher, home=tmp_path / "home")
    gallery.sync()
    images, words = theirs(folders[name])
    for text, cosines in zip(TEXTS, words @ images.T, strict=True):
        if text:
            found = {match.path.name: match.score for match in gallery.search(text, k=3)}
            assert np.allclose([found[f"{n}.png"] for n in range(3)], cosines, atol=1e-5)
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures())
    assert np.allclose(matcher.embed_images(columns), images, atol=1e-5)
    texts = matcher.open_text_encoder().encode(TEXTS)
    assert np.allclose(matcher.embed_texts(texts), words, atol=1e-5)
    if name in ("vit", "coca", "clipa", "roberta"):  # the pictures of the others differ by little
        check_matcher(matcher, columns, texts)


def test_a_name_of_the_hub_is_the_folder_it_holds(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place, commit = tmp_path / "hub" / "models--timm--tiny", "0123456789abcdef" * 2 + "01234567"
    shutil.copytree(folders["siglip"], place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit, "utf-8")
    expected = visita.load(f"open-clip:{folders['siglip']}")
    state = load_file(folders["siglip"] / "open_clip_model.safetensors")
    threshold = -state["logit_bias"] / state["logit_scale"].exp()
    assert expected.threshold == pytest.approx(float(threshold))
    for name in ("timm/tiny", "hf-hub:timm/tiny"):
        assert visita.load(f"open-clip:{name}").fingerprint() == expected.fingerprint()
    with pytest.raises(ArtifactError, match=r"run  hf download timm/vit_base_patch32_clip_224\.op"):
        visita.load("open-clip:ViT-B-32/openai")
    with pytest.raises(ConfigError, match="Name it open-clip:timm/tiny"):
        visita.load("clip:timm/tiny")


def test_every_name_of_open_clips_list_is_found_where_open_clip_finds_it():
    listed = open_clip.list_pretrained()
    assert len(listed) > 150
    for architecture, tag in listed:
        place = "/".join(open_clip_list.place(architecture, tag))
        assert place == open_clip.get_pretrained_cfg(architecture, tag)["hf_hub"]
        assert open_clip_list.configuration(architecture).is_file()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-32/openia", "no weights 'openia' of ViT-B-32. Known: ViT-B-32/openai, "),
        ("ViT-B-32/", "no weights ''"),
        (f"{__file__}@ViT-B-33", "no model 'ViT-B-33'. Did you mean 'ViT-B-32'"),
    ],
)
def test_a_name_that_open_clip_does_not_have_is_refused_at_once(name, said, tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError):
        visita.load(f"open-clip:{name}")
    assert said in refusal(f"open-clip:{name}", tmp_path, monkeypatch)


def test_a_checkpoint_of_training_is_read_by_its_architecture(tmp_path):
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt").eval()
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "epoch_3.pt")
    matcher = visita.load(f"open-clip:{tmp_path / 'epoch_3.pt'}@ViT-S-32-alt")
    texts = matcher.open_text_encoder()
    ids, mask = texts.reading.padded([passage for [passage] in texts.reading.passages(TEXTS)])
    assert np.array_equal(ids, open_clip.get_tokenizer("ViT-S-32-alt")(list(TEXTS)))
    with torch.inference_mode():
        expected = model.encode_text(torch.from_numpy(ids))
        [found] = texts.network()(torch.from_numpy(ids), torch.from_numpy(mask))
    loaded = texts.network().state_dict()
    for weights, values in model.state_dict().items():
        assert torch.equal(loaded[f"tower.network.{weights}"], values), weights
    # Not always to the last bit: tensors that lie elsewhere in memory can be added up otherwise.
    assert torch.allclose(found, expected, atol=1e-5)


def test_pickles_of_anything_else_than_tensors_are_refused(folders, tmp_path):
    shutil.copytree(folders["vit"], tmp_path / "model")
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    torch.save({"state_dict": Path("x")}, tmp_path / "model" / "open_clip_pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        visita.load(f"open-clip:{tmp_path / 'model'}")


def test_a_folder_of_transformers_is_named_by_its_family(tmp_path):
    with pytest.raises(ConfigError, match=f"Name it clip:{tmp_path}"):
        visita.load(f"open-clip:{tiny.clip(tmp_path)}")


def test_an_adapter_is_refused_with_what_to_do(tmp_path, monkeypatch):
    base = {"peft_type": "LORA", "base_model_name_or_path": "hf-hub:timm/tiny"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(base), "utf-8")
    told = refusal(f"open-clip:{tmp_path}", tmp_path, monkeypatch)
    assert "in no common layout" in told and "(merge_and_unload)" in told


def test_weights_of_which_nobody_says_the_right_ones_are_refused(folders, tmp_path):
    shutil.copytree(folders["vit"], tmp_path / "model")
    weights = tmp_path / "model" / "open_clip_model.safetensors"
    shutil.copy(weights, weights.with_name("open_clip_old.safetensors"))
    with pytest.raises(ArtifactError, match="several files that may be them"):
        visita.load(f"open-clip:{tmp_path / 'model'}")


def test_a_way_of_preparing_that_visita_does_not_know_is_refused(folders, tmp_path):
    shutil.copytree(folders["vit"], tmp_path / "model")
    tiny.set_in(
        tmp_path / "model" / "open_clip_config.json", "preprocess_cfg", resize_mode="longest"
    )
    with pytest.raises(ConfigError, match="prepared in a way that visita does not know"):
        visita.load(f"open-clip:{tmp_path / 'model'}")


def test_a_tower_from_elsewhere_is_not_fetched(folders, tmp_path):
    shutil.copytree(folders["vit"], tmp_path / "model")
    config = tmp_path / "model" / "open_clip_config.json"
    whole = json.loads(config.read_text("utf-8"))
    whole["model_cfg"]["vision_cfg"]["timm_model_name"] = "hf-hub:stranger/tower"
    config.write_text(json.dumps(whole), "utf-8")
    with pytest.raises(ConfigError, match="is no architecture of timm's own"):
        visita.load(f"open-clip:{tmp_path / 'model'}")


def test_texts_become_the_ids_of_open_clips_tokenizer(tmp_path):
    reading = open_clip_list.byte_pairs(tmp_path / "words", 77, "lower")
    rng = np.random.default_rng(0)
    ranges = ((32, 127), (0xA0, 0x250), (0x370, 0x500), (0x4E00, 0x4F00), (0x1F600, 0x1F640))
    drawn = [
        "".join(chr(rng.integers(*ranges[rng.integers(5)])) for _ in range(12)) for _ in range(300)
    ]
    texts = ["don’t “quote” &amp;amp; naïve", "Ã©tude 100% #1", "WE'LL\n\tsee", "1234 '12", *drawn]
    ids, _ = reading.padded([passage for [passage] in reading.passages(texts)])
    assert np.array_equal(ids, open_clip.get_tokenizer("ViT-B-32")(texts).numpy())


def test_layers_are_levels_of_pictures_and_texts(folders):
    name = f"open-clip:{folders['vit']}"
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folders['vit']}")
    found = RecipeEncoder(Recipe({name: ("layer2:avg", "layer3:cls")})).encode_pictures(pictures())
    texts = TEXT_ENCODERS.load(name)(("layer1", "layer2")).encode(["a red circle"])
    seen = torch.stack([transform(picture) for picture in pictures()])
    ids = open_clip.get_tokenizer("ViT-B-32")(["a red circle"], 20)
    with torch.inference_mode():
        both = {"image_output_extra_tokens": True, "image_output_fmt": "NLC"}
        read = model.eval().forward_intermediates(seen, ids, **both)
    cells, first = read["image_intermediates"], read["image_intermediates_prefix"]
    assert np.allclose(found[f"{name}/layer2:avg"], cells[1].mean(1), atol=1e-4)
    assert np.allclose(found[f"{name}/layer3:cls"], first[2][:, 0], atol=1e-4)
    words = int((ids != 0).sum())
    states = torch.cat([state[0, :words].mean(0) for state in read["text_intermediates"]])
    assert np.allclose(texts.vectors[0], states, atol=1e-4)
