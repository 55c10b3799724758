"""On a GPU, where there is one: the vectors and the order of results that the processor gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run
from library_vectors import CASES, TEXTS, pictures
from PIL import Image

import visita
from visita.data.decode import decode
from visita.search.finder import Finder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
DEVICE = "cuda"
NEAR = 0.9999
"""Cosine: a GPU multiplies in other orders, and convolutions with ten bits of mantissa."""


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture
def gpu(monkeypatch) -> pytest.MonkeyPatch:
    """Return what asks for the GPU; until then the processor computes, in float32."""
    monkeypatch.setenv("VISITA_PRECISION", "float32")
    return monkeypatch


def vectors(matcher: str, seen: list[Image.Image]) -> list[np.ndarray]:
    finder = Finder(visita.load(matcher).retriever)
    return [finder.embed_pictures(seen), finder.embed_texts([text for text in TEXTS if text])]


@pytest.mark.parametrize("name", CASES)
def test_a_familys_vectors_are_those_of_the_processor(tmp_path, gpu, name):
    matcher = f"{CASES[name].family}:{CASES[name].write(tmp_path / 'tiny')}"
    expected = vectors(matcher, pictures())
    gpu.setenv("VISITA_DEVICE", DEVICE)
    for one, other in zip(expected, vectors(matcher, pictures()), strict=True):
        assert cosines(one, other).min() >= NEAR


@pytest.mark.parametrize("matcher", ["visita-small", "visita-base"])
def test_a_shipped_matcher_is_the_same(photographs, drawn_folder, tmp_path, gpu, matcher):
    seen = [decode(path) for path in photographs]
    expected, order = vectors(matcher, seen), found(matcher, drawn_folder, tmp_path / "processor")
    gpu.setenv("VISITA_DEVICE", DEVICE)
    for one, other in zip(expected, vectors(matcher, seen), strict=True):
        assert cosines(one, other).min() >= NEAR
    assert found(matcher, drawn_folder, tmp_path / "gpu") == order


def found(matcher: str, folder: Path, home: Path) -> list[str]:
    command = ("search", "a red circle", folder, "--matcher", matcher, "--gallery", home, "--json")
    return [Path(match["path"]).name for match in run(*command).json["matches"]]


def test_what_was_trained_on_a_gpu_searches_without_one(drawn_folder, tmp_path, gpu):
    gpu.setenv("VISITA_DEVICE", DEVICE)
    data = f"folder:{drawn_folder}"
    trained = run("train", "fusion", "--data", data, "--out", tmp_path / "m", "--set", "epochs=1")
    assert trained.status == 0
    gpu.delenv("VISITA_DEVICE")
    assert len(found(str(tmp_path / "m"), drawn_folder, tmp_path / "home")) > 0
