"""A matcher becomes a user's default once it was fetched whole, exported and tried."""

from __future__ import annotations

import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_pretrained as tiny
import tiny_sentences
from commands import VISITA, process, run
from huggingface_hub import constants
from loopback import Hub, serving
from safetensors.torch import load_file, save_file

import visita
from visita.encoders.library.fetch import fetched
from visita.encoders.pretrained.model import WITH_SAFETENSORS, with_safetensors
from visita.gallery.behind import behind
from visita.matchers.default import default_matcher, make_default

pytestmark = pytest.mark.slow

TINY = "someone/tiny"
LARGE = 48 * 2**20
"""Bytes; the hub's library writes 10 MiB at a time."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> list[Path]:
    """Return the folders of two checkpoints of CLIP."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return [tiny.clip(folder / name, seed=seed) for seed, name in enumerate(("one", "other"))]


@pytest.fixture(autouse=True)
def own_home(home, tmp_path, monkeypatch) -> Path:
    """Return a home of its own, with the graphs of the session."""
    folder = tmp_path / "home"
    (folder / "cache").mkdir(parents=True)
    graphs = home / "cache" / "graphs"
    graphs.mkdir(exist_ok=True)
    (folder / "cache" / "graphs").symlink_to(graphs.resolve())
    monkeypatch.setenv("VISITA_HOME", str(folder))
    return folder


@pytest.fixture
def hub(checkpoints, tmp_path, monkeypatch) -> Iterator[Hub]:
    """Serve the first checkpoint; this process and those that it starts ask there."""
    with serving(Hub({TINY: checkpoints[0]})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield hub


def cached(name: str = TINY) -> Path:
    return Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}")


@pytest.mark.usefixtures("hub")
def test_a_checkpoint_is_fetched_tried_and_then_the_default(checkpoints, photographs):
    told = run("use", f"clip:{TINY}", "--yes")
    assert (told.status, told.out) == (0, f"default matcher: clip:{TINY}\n")
    assert "someone/tiny: 0.2 MB to fetch; licence: mit" in told.err
    assert run("use", "--json").json == {"default": f"clip:{TINY}"}
    [snapshot] = (cached() / "snapshots").iterdir()
    for file in snapshot.iterdir():
        assert file.read_bytes() == (checkpoints[0] / file.name).read_bytes()

    pair = "match", photographs[0], "a red star", "--json"
    matched = run(*pair)
    assert f"note: by clip:{TINY}, your default; 'visita use visita-small' goes back" in matched.err
    named = run(*pair, "--matcher", f"clip:{TINY}")
    assert matched.json == named.json and "your default" not in named.err


def test_what_is_here_is_used_without_the_hub(hub, monkeypatch):
    patterns = ("*.json", "*.safetensors")
    folder = fetched(TINY, patterns)
    asked = len(hub.ranges)
    assert (fetched(TINY, patterns), len(hub.ranges)) == (folder, asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetched(TINY, patterns) == folder
    assert run("use", f"clip:{TINY}").status == 0


def refused(*words: object) -> str:
    """Run ``visita use``, which fails, and return what it says; the default is as before."""
    before = default_matcher()
    told = run("use", *words)
    assert told.status == 2 and told.out == ""
    assert default_matcher() == before
    return told.err


def test_nothing_is_fetched_before_the_user_agrees(hub):
    assert "There is no terminal to ask on: add --yes to fetch it" in refused(f"clip:{TINY}")
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    command = [*VISITA, "use", f"clip:{TINY}"]
    done = subprocess.run(command, stdin=theirs, capture_output=True, encoding="utf-8", check=False)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 1 and "Fetch it? [y/N]:" in done.stderr
    assert (hub.ranges, default_matcher()) == ([], "visita-small")


def test_a_connection_that_breaks_is_gone_on_with(hub, checkpoints, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.breaks = 50_000
    folder = fetched(TINY, ("*.safetensors",))
    assert hub.ranges == ["", "bytes=50000-"]
    name = "model.safetensors"
    assert (folder / name).read_bytes() == (checkpoints[0] / name).read_bytes()


def test_a_killed_process_is_gone_on_with_by_the_next(hub, tmp_path):
    content = np.random.default_rng(0).bytes(LARGE)
    hub.repositories["someone/large"] = tmp_path / "large"
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "model.safetensors").write_bytes(content)
    program = "from visita.encoders.library.fetch import fetched; fetched('someone/large', ['*'])"
    with subprocess.Popen([sys.executable, "-c", program]) as child:
        hub.breaks, hub.kill = 36 * 2**20, lambda: child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert not list(cached("someone/large").glob("snapshots/*/*"))

    [folder] = [fetched("someone/large", ["*"])]
    first, again = hub.ranges
    assert first == "" and int(again.removeprefix("bytes=").rstrip("-")) >= 10 * 2**20
    assert (folder / "model.safetensors").read_bytes() == content


def test_other_bytes_than_the_hub_names_are_thrown_away(hub):
    hub.altered = True
    told = refused(f"clip:{TINY}", "--yes")
    assert "model.safetensors of 'someone/tiny' came with other bytes than the hub names" in told
    assert not list(cached().glob("**/*.incomplete"))
    assert not list(cached().glob("snapshots/*/*.safetensors"))
    hub.altered = False
    fetched(TINY, ("*.safetensors",))
    assert hub.ranges == ["", ""]


def test_what_another_answers_in_its_place_is_not_gone_on_with(hub, checkpoints):
    hub.instead = b"<html>Log in to this network</html>"
    assert "could not be fetched: Consistency check failed" in refused(f"clip:{TINY}", "--yes")
    hub.instead = None
    name = "model.safetensors"
    folder = fetched(TINY, (name,))
    assert hub.ranges == ["", ""]
    assert (folder / name).read_bytes() == (checkpoints[0] / name).read_bytes()


def test_a_full_disk_keeps_what_came_and_goes_on_later(hub):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        told = refused(f"clip:{TINY}", "--yes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "hub cannot be written (File too large): make room there, or name another" in told
    fetched(TINY, ("*.safetensors",))
    assert hub.ranges == ["", "bytes=50000-"]


@pytest.mark.usefixtures("hub")
def test_a_cache_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "hf").write_text("in the way", "utf-8")
    told = refused(f"clip:{TINY}", "--yes")
    assert f"{tmp_path / 'hf'} cannot be written (File exists): make room there, or name" in told


def test_more_than_there_is_room_for_is_not_begun(hub, monkeypatch):
    free = 50_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))
    told = refused(f"clip:{TINY}", "--yes")
    assert "cannot be written (0.2 MB are wanted, 0.1 MB are free): make room" in told
    assert hub.ranges == []


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [
        (404, "RepoNotFound", "shows you none of that name. Check it; if it is private, log in"),
        (401, "", "refuses it (401): log in with  hf auth login, and try again"),
        (403, "GatedRepo", "its makers choose who may have it. Ask them at http://127.0.0.1:"),
        (403, "", "refuses it (403): log in with  hf auth login, and try again"),
        (404, "RevisionNotFound", "has no revision"),
    ],
)
def test_who_may_not_have_it_is_told_why(hub, status, code, cause):
    hub.refused[TINY] = status, code
    told = refused(f"clip:{TINY}", "--yes")
    assert "'someone/tiny' is not in " in told and cause in told


@pytest.mark.usefixtures("hub")
def test_offline_nothing_is_fetched_and_the_command_is_named(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told = refused(f"clip:{TINY}", "--yes")
    assert "HF_HUB_OFFLINE is set. Where there is a network, run  hf download someone/tiny" in told


def test_pickles_are_not_fetched(hub, checkpoints, tmp_path):
    shutil.copytree(checkpoints[0], tmp_path / "pickled")
    tiny.pickled(tmp_path / "pickled")
    hub.repositories["someone/pickled"] = tmp_path / "pickled"
    told = refused("clip:someone/pickled", "--yes")
    assert "someone/pickled has no weights as safetensors, and visita fetches no pickles" in told
    assert not list(cached("someone/pickled").glob("**/*.bin"))


def test_of_a_name_whose_main_revision_is_pickled_another_is_taken(hub, checkpoints):
    [(name, revision)] = WITH_SAFETENSORS.items()
    hub.repositories[name], hub.commits[name] = checkpoints[0], revision
    hub.licence = None
    told = refused("clip:ViT-B-32/openai")
    assert f"/api/models/{name}/revision/{revision}" in hub.asked
    assert "licence: MIT for the code; the model card names no licence" in told
    other = "open-clip:ViT-B-32/openai"  # which has files of its own
    assert with_safetensors(other) == other


def test_a_model_that_gives_no_vectors_is_not_taken(checkpoints, tmp_path):
    shutil.copytree(checkpoints[0], tmp_path / "broken")
    state = load_file(tmp_path / "broken" / "model.safetensors")
    state["text_projection.weight"].fill_(float("nan"))
    save_file(state, tmp_path / "broken" / "model.safetensors", {"format": "pt"})
    told = refused(f"clip:{tmp_path / 'broken'}")
    assert "does not work here: the vector of a text is nan long" in told


def test_folders_are_kept_by_their_whole_path(checkpoints, monkeypatch):
    monkeypatch.chdir(checkpoints[0].parent)
    assert run("use", "clip:one").out == f"default matcher: clip:{checkpoints[0]}\n"
    assert run("use", "nobody").status == 2
    assert default_matcher() == f"clip:{checkpoints[0]}"


def test_another_text_encoder_is_part_of_the_choice(checkpoints, photographs, tmp_path, own_home):
    name = f"clip:{checkpoints[0]}"
    words = f"sentence-transformers:{tiny_sentences.write(tmp_path / 'words')}"
    told = run("use", name, "--text-encoder", words)
    assert told.status == 0, told.err
    assert told.out == f"default matcher: {default_matcher()}\n"
    chosen = visita.load(default_matcher())
    assert chosen == visita.load(name, text_encoder=words)
    [folder] = (own_home / "config" / "matchers").iterdir()
    assert [file.name for file in folder.iterdir()] == ["manifest.json"]

    pair = "match", photographs[0], "ein roter Stern", "--json"
    assert run(*pair).json == run(*pair, "--matcher", name, "--text-encoder", words).json
    assert "minilm-l6" in refused(name, "--text-encoder", "minilm-l6")
    assert "go with the name of a matcher" in refused("--text-encoder", words)


def test_a_choice_that_cannot_be_written_is_not_made(checkpoints, own_home):
    (own_home / "config").write_text("in the way", "utf-8")
    told = refused(f"clip:{checkpoints[0]}")
    assert "settings.json cannot be written (File exists): make room, or choose another" in told


def test_a_damaged_choice_is_told_and_the_shipped_default_gone_back_to(own_home):
    make_default("visita-base")
    assert "note: by visita-base, your default" in run("search", "a star", "nowhere").err
    file = own_home / "config" / "settings.json"
    file.write_text(file.read_text("utf-8").replace("base", "bass"), "utf-8")
    told = run("search", "a star", "nowhere")
    assert (told.status, told.out) == (2, "")
    assert "settings.json is damaged or was changed by hand" in told.err
    assert "Choose your default matcher anew, such as:  visita use visita-small" in told.err
    assert run("use", "visita-small").out == "default matcher: visita-small\n"
    assert "your default" not in run("search", "a star", "nowhere").err


def test_galleries_of_another_matcher_are_read_again_and_never_mixed(checkpoints, few, own_home):
    one, other = (f"clip:{folder}" for folder in checkpoints)
    run("index", few, "--matcher", one)
    make_default(one)
    first = run("search", "a red circle", few, "--json").json["matches"]
    kept = run("use", other, "--no-reindex", "--json").json
    assert (kept["galleries"], kept["process"]) == ([str(few)], None)
    assert "12 added" not in run("search", "a red circle", few, "--matcher", one).err

    told = process("use", other, "--json").json  # and ends, while the other goes on
    assert told["galleries"] == [str(few)]
    wait_for(told["process"])
    assert "12 pictures, up to date" in (own_home / "cache" / "index.log").read_text("utf-8")
    assert behind(visita.load(other).fingerprint()) == []
    found = run("search", "a red circle", few, "--json")
    assert "up to date" in found.err
    assert [match["path"] for match in found.json["matches"]] == ranked(other, few)
    again = run("search", "a red circle", few, "--matcher", one, "--json")
    assert "up to date" in again.err and again.json["matches"] == first


@pytest.fixture
def few(drawn_folder, tmp_path) -> Path:
    """Return a folder of 12 drawn pictures."""
    folder = tmp_path / "few"
    folder.mkdir()
    for file in sorted(drawn_folder.glob("*.[jp]*g"))[:12]:
        shutil.copy(file, folder)
    return folder


def wait_for(process: int) -> None:
    """Wait until a process has ended that is no child of this one."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    select.select([handle], [], [])
    os.close(handle)


def ranked(matcher: str, folder: Path) -> list[str]:
    """Return the paths of ten pictures, best first, by their vectors alone."""
    finder, paths = visita.Finder(matcher), sorted(folder.iterdir())
    scores = finder.embed_pictures(paths) @ finder.embed_texts(["a red circle"])[0]
    return [str(paths[row]) for row in np.argsort(-scores)[:10]]


def test_what_is_gained_is_measured_before_the_switch(checkpoints, drawn_folder):
    one, other = (f"clip:{folder}" for folder in checkpoints)
    make_default(one)
    data = f"folder:{drawn_folder}"
    gained = run("use", other, "--pairs", data, "--json").json["pairs"]
    assert (gained["split"], gained["images"]) == ("test", 18)
    for side, matcher in (("before", one), ("after", other)):
        report = visita.evaluate(matcher, data, protocols=["retrieval"])["protocols"]["retrieval"]
        assert {name: gained[side][name] for name in report} == report
    sums = [gained[side]["rsum"]["value"] for side in ("before", "after", "difference")]
    assert sums[2] == pytest.approx(sums[1] - sums[0])
    assert "nothing.csv" in refused(other, "--pairs", "nothing.csv")


def test_one_folder_that_cannot_be_read_leaves_the_others(checkpoints, few, tmp_path):
    (tmp_path / "empty").mkdir()
    told = run("index", tmp_path / "empty", few, "--matcher", f"clip:{checkpoints[0]}", "--json")
    assert told.status == 2
    assert [gallery["added"] for gallery in told.json["galleries"]] == [12]
    assert len(told.json["errors"]) == 1 and str(tmp_path / "empty") in told.json["errors"][0]
