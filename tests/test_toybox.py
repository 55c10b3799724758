"""A package from outside adds one part of each kind by its entry points: all listed, all used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from drawn import draw_pairs
from extras import skip_if_told

TOYBOX = Path(__file__).with_name("toybox")
METADATA = "Metadata-Version: 2.1\nName: toybox\nVersion: 1.0\n"
CHECKS = """
from toybox.encoders import ToyEyes, ToyWords
from toybox.learning import toy_loss
from toybox.searching import ToyEngine
from visita.testing import check_encoder, check_index, check_loss, check_text_encoder
check_encoder(ToyEyes()), check_text_encoder(ToyWords()), check_index(ToyEngine)
check_loss(toy_loss, temperature=0.5)

import numpy as np
from visita.kernels import Kernel
print(Kernel(function="toy-kernel")(np.eye(2)).tolist(), end="\\0")
"""


EACH = """
import json, sys
from visita.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as ended:
        if ended.code == 2:
            raise
    print(end="\\0")
"""
"""Runs commands one after the other, each of which finds something or nothing."""


class Outside:
    """Processes that have the package beside visita, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        shutil.copytree(TOYBOX, site / "toybox", ignore=shutil.ignore_patterns("*.txt", "__py*"))
        distribution = site / "toybox-1.0.dist-info"
        distribution.mkdir()
        (distribution / "METADATA").write_text(METADATA, "utf-8")
        shutil.copy(TOYBOX / "entry_points.txt", distribution)
        self.pairs = folder / "pairs"
        captions = []
        for picture in draw_pairs(self.pairs, 100):
            texts = picture.with_suffix(".txt")
            captions += [
                f"{picture.name}\t{line}\n" for line in texts.read_text("utf-8").splitlines()
            ]
            texts.unlink()
        (self.pairs / "pairs.toy").write_text("".join(captions), "utf-8")
        self.picture = str(min(self.pairs.glob("*.png")))

    def python(self, *words: str, engine: str = "") -> subprocess.CompletedProcess[str]:
        paths = [str(self.folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "VISITA_ENGINE": engine}
        command = [sys.executable, *words]
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=environment,
            cwd=self.folder,
        )
        skip_if_told(done.stderr)
        return done

    def visita(self, *words: str, engine: str = "") -> subprocess.CompletedProcess[str]:
        done = self.python("-m", "visita", *words, engine=engine)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def each(self, *lines: tuple[str, ...], before: str = "") -> tuple[list[str], str]:
        """Return what each command prints, after what a program did, and what all said."""
        done = self.python("-c", before + EACH, json.dumps(lines))
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\0")[:-1], done.stderr


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Outside:
    return Outside(tmp_path_factory.mktemp("outside"))


@pytest.fixture(scope="module")
def learnt(outside) -> tuple[list[str], str]:
    """Return what one process says that checks the parts, and trains with them and matches."""
    levels = {"toy-eyes": ["pixels", "mean"]}
    settings = {"image_levels": levels, "text_encoder": "toy-words", "class_names_weight": 0}
    small = {"keywords_per_image": 0, "dim": 16, "fusion_dim": 16, "hidden": 16, "epochs": 1}
    words = ["train", "fusion", "--data", "toy-pairs:pairs", "--out", "trained"]
    for name, value in {**settings, **small, "mirror": False, "loss": "toy-loss"}.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    cca = ["train", "baseline", "toy-cca", "--data", "toy-pairs:pairs", "--out", "cca"]
    eyes = f"image_levels={json.dumps({'toy-eyes': ['pixels']})}"
    for setting in (eyes, "text_encoder=toy-words", "directions=8"):
        cca += ["--set", setting]
    match = ("match", outside.picture, "a star", "--matcher", "cca")
    return outside.each(tuple(words), tuple(cca), match, before=CHECKS)


def test_every_part_is_listed_and_nothing_heavy_is_imported_for_it(outside):
    program = "import sys; from visita.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    done = outside.python("-c", program, "models")
    *lines, modules = done.stdout.splitlines()
    assert not {"torch", "transformers", "sklearn"} & set(modules.split())
    for line in (
        "image encoder toy-eyes: 2 levels, 3 to 192 wide, 0 MB, CC0-1.0",
        "text encoder toy-words: 1 levels, 64 wide, 0 MB, CC0-1.0",
        "baseline toy-cca: Canonical correlation analysis, once more.",
        "    Toy 2026; visita train baseline toy-cca",
    ):
        assert line in lines
    assert "image encoder broken-eyes: " in done.stderr and "cannot be imported" in done.stderr
    parts = json.loads(outside.visita("models", "--json").stdout)["parts"]
    for kind, name in (
        ("reader", "toy-pairs"),
        ("loss", "toy-loss"),
        ("network", "toy-projection"),
        ("kernel", "toy-kernel"),
        ("engine", "toy-engine"),
        ("pretrained matcher", "toy:NAME"),
    ):
        assert name in parts[kind]


def test_every_group_of_entry_points_in_contributing_is_used_here():
    contributing = Path(__file__).parents[1] / "CONTRIBUTING.md"
    rows = [line for line in contributing.read_text("utf-8").splitlines() if line.startswith("|")]
    groups = re.findall(r"`(visita\.[a-z_]+)`", "\n".join(rows))
    used = re.findall(r"^\[(.+)\]$", (TOYBOX / "entry_points.txt").read_text("utf-8"), re.MULTILINE)
    assert sorted(used) == sorted(g for g in groups if not g.startswith("visita.pair_"))


def test_a_command_is_run_and_one_that_cannot_be_imported_is_told(outside):
    (you, world, described), _ = outside.each(
        ("hello", "--name", "you"), ("hello", "--json"), ("hello", "-h")
    )
    assert you == "hello you\n" and json.loads(world) == {"hello": "world"}
    assert "Greet." in described
    broken = outside.visita("broken", "a", "--word")
    assert (broken.returncode, broken.stdout) == (2, "")
    assert "toybox.no_such_module:hello, cannot be imported" in broken.stderr
    assert len(broken.stderr.splitlines()) == 1
    told = outside.visita("--help")
    assert (told.returncode, told.stderr) == (0, "")
    shown = " ".join(told.stdout.split())  # how wide the columns are is the library's
    assert "hello Greet." in shown and "cannot be imported" in shown


def test_parts_from_outside_keep_the_contracts_and_a_kernel_computes(learnt):
    assert learnt[0][0] == "[[2.0, 0.0], [0.0, 2.0]]"


def test_reader_encoders_and_loss_train_a_matcher(outside, learnt):
    assert "toy loss at work" in learnt[1]
    manifest = (outside.folder / "trained" / "manifest.json").read_text("utf-8")
    assert all(name in manifest for name in ("toy-eyes", "toy-words", "toy-loss", "toy-pairs"))


@pytest.mark.usefixtures("learnt")
def test_an_engine_and_a_family_of_matchers_search(outside):
    words = ("search", "a red star", "pairs", "--gallery", "kept", "-k", "5", "--matcher")
    exact = outside.visita(*words, "trained")
    toy = outside.visita(*words, "toy:trained", engine="toy-engine")
    assert toy.returncode == 0, toy.stderr
    assert "toy engine of 100 vectors" in toy.stderr
    assert "toy engine" not in exact.stderr
    assert toy.stdout == exact.stdout and len(toy.stdout.splitlines()) == 5
    unknown = outside.visita(*words, "trained", engine="toy-engin")
    assert unknown.returncode == 2 and "Did you mean 'toy-engine'?" in unknown.stderr


@pytest.mark.usefixtures("learnt")
def test_a_saved_matcher_of_a_kind_from_outside_is_loaded(outside):
    kept = outside.folder / "kind"
    kept.mkdir()
    manifest = {"visita": "toy kind", "matcher": str(outside.folder / "trained")}
    (kept / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    words = ("match", outside.picture, "a star", "--matcher")
    (of_kind, of_trained), _ = outside.each((*words, "kind"), (*words, "trained"))
    assert of_kind == of_trained


def test_a_baseline_trains_a_network_from_outside(outside, learnt):
    assert '"toy-projection"' in (outside.folder / "cca" / "manifest.json").read_text("utf-8")
    assert re.search(r"0\.\d+", learnt[0][-1])
