"""What a stranger made of a saved thing is refused in one line, or changes no number in silence.

Thousands more are in ``runs/fuzz_matchers.py``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from altered import mutate
from forging import forge
from specimens import (
    joint,
    small_matchers,
    small_parts,
    use_matcher,
    use_of,
)

import visita
from visita.artifact import MANIFEST
from visita.errors import ArtifactError, VisitaError
from visita.training.loop import Checkpoint

pytestmark = pytest.mark.slow

KINDS = [
    *("joint", "scaled", "fused", "two-stage", "whole"),
    *("topics", "tuned", "visual-words", "checkpoint"),
]
asked: list[str] = []
sys.addaudithook(lambda event, _: asked.append(event) if event == "socket.getaddrinfo" else None)


@pytest.fixture(autouse=True)
def heard():
    """Hear only what the test itself asks a network for."""
    asked.clear()


@pytest.fixture(scope="module")
def specimens(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("specimens")
    return {**small_matchers(folder / "matchers"), **small_parts(folder / "parts")}


@pytest.fixture
def saved(tmp_path) -> Path:
    joint("minilm-l6").save(tmp_path / "joint")
    return tmp_path / "joint"


@pytest.mark.skipif(sys.platform == "win32", reason="changes are made with links and pipes")
@pytest.mark.parametrize("kind", KINDS)
def test_no_change_gives_a_traceback_or_other_numbers_in_silence(specimens, kind, tmp_path):
    rng, use = np.random.default_rng([7, *kind.encode()]), use_of(kind)
    right = use(specimens[kind])
    outcomes = [mutate(specimens[kind], rng, use, right, tmp_path / "copy") for _ in range(15)]
    assert [one for one in outcomes if one.fault] == [] and not asked
    assert sum(one.refused for one in outcomes) > 5


NAMED = ["clip", "siglip", "blip", "transformers", "timm", "torchvision", "sentence-transformers"]


@pytest.mark.parametrize("family", NAMED)
def test_what_a_saved_matcher_names_is_not_fetched(saved, family):
    name = f"{family}:evil/repository"
    if family == "sentence-transformers":
        forge(saved, text_encoder=name)
    else:
        forge(saved, recipe={"levels": {name: ["vector"]}, "mirror": False})
    with pytest.raises(VisitaError) as caught:
        visita.load(saved)
    assert not asked
    if family not in ("timm", "torchvision"):  # which need an extra
        assert "fetches nothing by itself: if you trust it, run  hf download evil/" in str(
            caught.value
        )


def test_what_a_tuned_encoder_names_is_not_fetched(specimens, tmp_path):
    folder = shutil.copytree(specimens["tuned"], tmp_path / "tuned")
    forge(folder, base="transformers:evil/repository")
    with pytest.raises(ArtifactError, match="fetches nothing by itself"):
        use_of("tuned")(folder)
    assert not asked


@pytest.mark.parametrize("value", [-1, -1.5, 1e308])
def test_a_generator_that_cannot_be_begins_a_training_anew(specimens, tmp_path, value):
    folder = shutil.copytree(specimens["checkpoint"], tmp_path / "checkpoint")
    state = json.loads((folder / MANIFEST).read_text("utf-8"))["rng"]
    state["state"]["state"] = value
    forge(folder, rng=state)
    assert Checkpoint(folder, np.random.default_rng()).load() is None


def test_a_link_in_the_place_of_a_file_is_not_followed(saved, tmp_path):
    weights = saved / "weights.safetensors"
    weights.rename(tmp_path / "away")
    weights.symlink_to(tmp_path / "away")
    with pytest.raises(ArtifactError, match=r"weights\.safetensors is a link"):
        visita.load(saved)


def test_a_file_that_is_not_listed_is_refused(saved):
    (saved / "more").write_text("x", "utf-8")
    with pytest.raises(ArtifactError, match=r"does not list 'more'; take that away"):
        visita.load(saved)


def test_a_manifest_that_lists_no_file_switches_no_check_off(saved):
    forge(saved, files={})
    with pytest.raises(ArtifactError, match="does not list 'weights"):
        visita.load(saved)


def test_every_flipped_bit_of_a_manifest_is_found(saved):
    right = visita.load(saved).fingerprint()
    path = saved / MANIFEST
    content = path.read_bytes()
    for bit in np.random.default_rng(0).permutation(len(content) * 8)[:300].tolist():
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            assert visita.load(saved).fingerprint() == right
            assert json.loads(changed) == json.loads(content), "only the spaces may differ"
        except ArtifactError as error:
            assert len(str(error).splitlines()) == 1
    path.write_bytes(content)


def test_a_manifest_from_before_they_covered_themselves_still_opens(saved):
    right = visita.load(saved).fingerprint()
    content = json.loads((saved / MANIFEST).read_text("utf-8"))
    del content["seal"]
    (saved / MANIFEST).write_text(json.dumps({**content, "format": 1}), "utf-8")
    assert visita.load(saved).fingerprint() == right
    (saved / MANIFEST).write_text(json.dumps(content), "utf-8")
    with pytest.raises(ArtifactError, match="is damaged or was changed by hand"):
        visita.load(saved)


@pytest.mark.parametrize("name", ["visita-small", "visita-base"])
def test_the_shipped_matchers_cover_themselves_and_are_what_they_were(name):
    prints = {"visita-small": "6a592c8e36e85877", "visita-base": "c0a2dfe78c961873"}
    assert visita.load(name).fingerprint() == prints[name]
    for path in visita.matchers.shipped_folder(name).rglob(MANIFEST):
        assert "seal" in json.loads(path.read_text("utf-8"))


def test_the_shipped_matchers_give_what_they_gave():
    expected = {
        "visita-small": (
            [0.06301164, 0.11993682, -0.00432687, 0.04977473],
            [-0.03992573, 0.00477416, -0.04542714, -0.07084991],
            [0.02297523, 0.01162381],
        ),
        "visita-base": (
            [0.09272907, -0.02828831, -0.045573, -0.04897752],
            [-0.01707677, -0.00403912, -0.02458576, 0.10637225],
            [0.82687837, 0.84590185],
            [-0.15293431, -0.15070844],
        ),
    }
    for name, numbers in expected.items():
        _, _, *arrays, _ = use_matcher(visita.matchers.shipped_folder(name))
        for array, first in zip(arrays, numbers, strict=True):
            assert array.ravel()[: len(first)] == pytest.approx(first, abs=6e-3)


def test_fingerprints_of_every_kind_are_what_they_were(specimens):
    prints = {
        "joint": "e072ce748b4aee50",
        "scaled": "f39b25779da31e4f",
        "two-stage": "e009207d1e1b2577",
        "whole": "fe9085f12a62a1c1",
    }
    assert {name: visita.load(specimens[name]).fingerprint() for name in prints} == prints


def test_widths_that_no_memory_holds_are_refused_at_once(saved):
    content = json.loads((saved / MANIFEST).read_text("utf-8"))
    part = {**content["space"]["parts"][0], "arguments": {"dim": 2**20, "hidden": 2**20}}
    forge(saved, space={**content["space"], "parts": [part], "dim": 2**20})
    with pytest.raises(ArtifactError, match=r"gives vectors of .* and promises \(1048576,\)"):
        use_matcher(saved)


@pytest.mark.parametrize("depth", [10**6, 10**29])
def test_a_depth_that_no_memory_holds_is_refused_at_once(specimens, tmp_path, depth):
    folder = shutil.copytree(specimens["whole"], tmp_path / "whole")
    network = json.loads((folder / "second" / MANIFEST).read_text("utf-8"))["network"]
    forge(folder / "second", network={**network, "depth": depth})
    forge(folder)
    with pytest.raises(ArtifactError, match=f"blocks of a transformer that has {depth}"):
        use_matcher(folder)


def test_weights_whose_vectors_are_no_numbers_blame_the_matcher(saved):
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415

    path = saved / "weights.safetensors"
    arrays = load_file(path)
    arrays = {k: np.zeros_like(v) if "scale" in k else v for k, v in arrays.items()}
    path.unlink()
    save_file(arrays, path)
    forge(saved)
    with pytest.raises(ArtifactError, match="its weights are damaged"):
        use_matcher(saved)
