"""What is no pretrained model that visita reads is refused before any library of networks loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from refusing import refusal

import visita
from visita.encoders.pretrained.families import FAMILIES
from visita.errors import VisitaError
from visita.matchers import PRETRAINED


def configured(folder: Path, **settings: object) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(settings), "utf-8")
    return folder / "model"


def test_a_model_of_another_family_is_told_by_its_name(tmp_path, monkeypatch):
    model = configured(tmp_path, model_type="chinese_clip")
    said = refusal(f"siglip:{model}", tmp_path, monkeypatch)
    assert "is no siglip model: its config.json says 'chinese_clip'" in said
    assert f"Name it chinese-clip:{model}" in said


def test_a_kind_that_is_not_read_names_those_that_are(tmp_path, monkeypatch):
    code = {"AutoModel": "modeling_clip.JinaCLIPModel"}
    model = configured(tmp_path, model_type="jina_clip", auto_map=code)
    said = refusal(f"clip:{model}", tmp_path, monkeypatch)
    assert "brings code of its own, which visita never runs" in said
    assert all(f"{family}:" in said for family in FAMILIES)


def test_an_unknown_family_names_those_that_are_known(tmp_path, monkeypatch):
    said = refusal("clop:openai/clip-vit-base-patch32", tmp_path, monkeypatch)
    assert all(f"{family}:NAME" in said for family in FAMILIES)


def test_what_is_not_on_this_machine_is_refused_as_soon(tmp_path, monkeypatch):
    said = refusal("clip:openai/clip-vit-base-patch32", tmp_path, monkeypatch)
    assert "run  hf download openai/clip-vit-base-patch32  first" in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_type": ["clip"]}', "{}"])
def test_a_configuration_that_says_nothing_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text, "utf-8")
    with pytest.raises(VisitaError):
        visita.load(f"clip:{tmp_path}")


def test_every_family_is_a_matcher():
    assert set(PRETRAINED.families()) == {f"{family}:" for family in FAMILIES}
