"""Models inside other folders: those of sentence-transformers, and adapters beside their base."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pretrained as tiny
import torch
import transformers as tf
from huggingface_hub import constants
from library_vectors import CASES, TEXTS, ours, pictures, theirs
from refusing import refusals
from safetensors.torch import save_file

import visita
from visita.errors import ArtifactError, ConfigError, VisitaError
from visita.vectors import unit

pytestmark = pytest.mark.slow

PREFIX = "sentence_transformers.models."
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip") / "tiny")


def listing(folder: Path, *modules: tuple[str, str]) -> None:
    entries = [
        {"idx": n, "name": str(n), "path": path, "type": kind}
        for n, (kind, path) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(entries), "utf-8")


def classic(clip: Path, folder: Path) -> Path:
    """Write what sentence-transformers wrote before its version 5, as clip-ViT-B-32 has it."""
    shutil.copytree(clip, folder / "0_CLIPModel")
    listing(folder, (f"{PREFIX}CLIPModel", "0_CLIPModel"))
    return folder


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_clip_of_sentence_transformers_is_the_clip_in_it(clip, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(clip, whole)
    listing(whole, (f"{PREFIX}CLIPModel", ""), (f"{PREFIX}Normalize", "1_Normalize"))
    for folder in (classic(clip, tmp_path / "classic"), whole):
        assert same(ours("clip", folder), ours("clip", clip))
        one, other = (visita.load(f"clip:{place}").fingerprint() for place in (folder, clip))
        assert one == other


@pytest.mark.skipif(not find_spec("sentence_transformers"), reason="needs sentence-transformers")
def test_its_vectors_are_those_of_sentence_transformers(clip, tmp_path):
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - not installed anywhere

    by_pillow = {"backend": "pil"}  # and not by torchvision, which resizes otherwise
    model = SentenceTransformer(
        str(classic(clip, tmp_path)),
        device="cpu",
        local_files_only=True,
        processor_kwargs=by_pillow,
    )
    found = ours("clip", tmp_path)
    for ours_, read in zip(found, (pictures(), list(TEXTS)), strict=True):
        assert np.allclose(ours_, unit(model.encode(read)), atol=1e-5)


def test_a_repository_in_that_layout_is_read_from_the_cache(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--sentence-transformers--clip-tiny"
    classic(clip, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT, "utf-8")
    found = visita.load("clip:sentence-transformers/clip-tiny")
    assert found.fingerprint() == visita.load(f"clip:{clip}").fingerprint()


def test_what_is_more_than_two_towers_is_refused(tmp_path, monkeypatch):
    cases = (
        ([(f"{PREFIX}CLIPModel", ""), (f"{PREFIX}Dense", "1_Dense")], "CLIPModel; Dense"),
        ([("theirs.CLIPModel", "")], "code of its own"),
        ([(f"{PREFIX}CLIPModel", "../clip")], "no sound modules.json"),
        ([], "no sound modules.json"),
    )
    names = []
    for number, (modules, _) in enumerate(cases):
        folder = tmp_path / f"model{number}"
        folder.mkdir()
        listing(folder, *modules)
        names.append(f"clip:{folder}")
    told = refusals(names, tmp_path, monkeypatch)
    for one, (_, said) in zip(told, cases, strict=True):
        assert said in one


def test_as_a_text_encoder_it_is_named_by_its_family(clip, tmp_path):
    name = f"sentence-transformers:{classic(clip, tmp_path)}"
    with pytest.raises(ConfigError, match=f"Name it clip:{tmp_path}"):
        visita.load(f"clip:{clip}", text_encoder=name)


RANK, ALPHA = 2, 6
LAYERS = (
    "vision_model.encoder.layers.1.self_attn.q_proj",
    "text_model.encoder.layers.0.mlp.fc1",
    "visual_projection",
)
PLAIN = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "use_dora": False}


def matrices(base: Path) -> dict[str, torch.Tensor]:
    """Return random matrices for some layers, by PEFT's names."""
    model = tf.CLIPModel.from_pretrained(base)
    generator = torch.Generator().manual_seed(0)
    found = {}
    for layer in LAYERS:
        rows, columns = model.get_submodule(layer).weight.shape
        for side, shape in (("A", (RANK, columns)), ("B", (rows, RANK))):
            name = f"base_model.model.{layer}.lora_{side}.weight"
            found[name] = torch.randn(shape, generator=generator) * 0.3
    return found


def adapter(base: Path, folder: Path, **settings: Any) -> Path:
    folder.mkdir()
    save_file(matrices(base), folder / "adapter_model.safetensors")
    config = {**PLAIN, "base_model_name_or_path": str(base), **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    return folder


def merged(base: Path, folder: Path, scale: float) -> Path:
    """Write the base with the matrices added, by a loop over them."""
    shutil.copytree(base, folder)
    model, found = tf.CLIPModel.from_pretrained(base), matrices(base)
    for layer in LAYERS:
        down, up = (found[f"base_model.model.{layer}.lora_{side}.weight"] for side in "AB")
        weight = model.get_submodule(layer).weight
        with torch.no_grad():
            for column in range(weight.shape[1]):
                for rank in range(RANK):
                    weight[:, column] += scale * up[:, rank] * down[rank, column]
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("rooted", "scale"), [(False, ALPHA / RANK), (True, ALPHA / RANK**0.5)])
def test_an_adapter_is_added_to_its_base(clip, tmp_path, rooted, scale):
    with_it = adapter(clip, tmp_path / "adapter", use_rslora=rooted)
    expected = theirs("clip", merged(clip, tmp_path / "merged", scale))
    for found, wanted, before in zip(
        ours("clip", with_it), expected, ours("clip", clip), strict=True
    ):
        assert np.allclose(found, wanted, atol=1e-5) and np.abs(found - before).max() > 1e-2
    name = f"clip:{with_it}"
    assert visita.load(name).fingerprint() != visita.load(f"clip:{clip}").fingerprint()


def test_a_gallery_finds_by_an_adapted_model(clip, tmp_path):
    (tmp_path / "seen").mkdir()
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / "seen" / f"{number}.png")
    name = f"clip:{adapter(clip, tmp_path / 'adapter')}"
    gallery = visita.Gallery.open(tmp_path / "seen", matcher=name, home=tmp_path / "home")
    gallery.sync()
    images, words = theirs("clip", merged(clip, tmp_path / "merged", ALPHA / RANK))
    found = {match.path.name: match.score for match in gallery.search(TEXTS[0], k=3)}
    assert np.allclose([found[f"{n}.png"] for n in range(3)], images @ words[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # of peft
@pytest.mark.skipif(not find_spec("peft"), reason="needs peft")
@pytest.mark.parametrize("name", ["clip", "siglip2", "blip"])
def test_pefts_own_adapters_give_its_own_vectors(tmp_path, name):
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - not installed everywhere

    case, base = CASES[name], CASES[name].write(tmp_path / "base")
    model = case.model.from_pretrained(base)
    within = r".*\.(q_proj|fc1|query|qkv)"
    tuned = get_peft_model(model, LoraConfig(r=2, lora_alpha=5, target_modules=within))
    torch.manual_seed(0)
    with torch.no_grad():
        for key, values in tuned.named_parameters():
            if "lora_" in key:
                values.copy_(torch.randn_like(values) * 0.3)
    tuned.save_pretrained(tmp_path / "adapter")
    shutil.copytree(base, tmp_path / "whole")
    tuned.merge_and_unload().save_pretrained(tmp_path / "whole")
    found, expected = ours(case.family, tmp_path / "adapter"), theirs(name, tmp_path / "whole")
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_other_kinds_of_adapters_are_refused_at_once(clip, tmp_path, monkeypatch):
    cases = {
        "peft_type is 'IA3'": {"peft_type": "IA3"},
        "use_dora is True": {"use_dora": True},
        "bias is 'all'": {"bias": "all"},
        "modules_to_save is ['visual_projection']": {"modules_to_save": ["visual_projection"]},
        "it names no base": {"base_model_name_or_path": None},
    }
    names = [
        f"clip:{adapter(clip, tmp_path / f'adapter{number}', **settings)}"
        for number, settings in enumerate(cases.values())
    ]
    for told, said in zip(refusals(names, tmp_path, monkeypatch), cases, strict=True):
        assert f"cannot be merged: {said}" in told and "merge_and_unload" in told


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("visual_projection.lora_A", "visual_projection.lora_magnitude_vector"),
        ("visual_projection", "vision_model.embeddings.patch_embedding"),
        ("visual_projection", "no_such_layer"),
        ("visual_projection.lora_B", "vision_model.encoder.layers.0.mlp.fc1.lora_B"),
    ],
)
def test_an_adapter_that_does_not_fit_its_base_is_refused(clip, tmp_path, old, new):
    folder = adapter(clip, tmp_path / "adapter")
    renamed = {re.sub(re.escape(old), new, key): value for key, value in matrices(clip).items()}
    save_file(renamed, folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match="cannot be merged"):
        visita.load(f"clip:{folder}")


def test_an_adapter_of_an_adapter_is_refused(clip, tmp_path):
    folder = tmp_path / "adapter"
    name = f"clip:{adapter(clip, folder, base_model_name_or_path=str(folder))}"
    with pytest.raises(ArtifactError, match=r"has no config\.json"):
        visita.load(name)


@pytest.mark.parametrize("lacking", ["adapter_model.safetensors", "base"])
def test_an_adapter_without_weights_or_base_is_refused(clip, tmp_path, lacking):
    shutil.copytree(clip, tmp_path / "base")
    folder = adapter(tmp_path / "base", tmp_path / "adapter")
    if lacking == "base":
        shutil.rmtree(tmp_path / "base")
    else:
        (folder / lacking).unlink()
    with pytest.raises(VisitaError, match=lacking):
        visita.load(f"clip:{folder}")
