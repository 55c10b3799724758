"""Nothing is said to anyone: no command speaks to another machine or writes into HOME.

``conftest`` watches so every process of the session. Here the commands run on purpose, one
after the other in one process, also where nobody can write into HOME, and warn of nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn import draw_pairs
from typer.main import get_command

from visita.cli.app import app

NOWHERE = "/proc/self/nobody" if sys.platform == "linux" else os.devnull
"""Nobody can make a folder there, not even root."""
DRIVER = """
import sys
from visita.cli import main
for line in sys.stdin:
    sys.argv[1:] = line.rstrip("\\n").split("\\t")
    try:
        main()
    except SystemExit as done:
        print("status", done.code or 0, file=sys.stderr)
import matplotlib.figure  # as training and reports do
"""
ELSEWHERE = {
    "watch": "test_gallery_watch.py",
    "serve": "test_serve.py",
    "mcp": "test_serve_agents.py",
    "extract": "test_cli.py",
    "evaluate": "test_cli.py",
    "compare": "test_compare.py",
    "demo": "test_demo.py",
    "fuse": "test_fuse.py",
    "robustness": "test_robustness.py",
    "train fusion": "test_cli.py",
    "train mkl-visita": "test_training_cross_modal.py",
    "train encoder": "test_training_end_to_end.py",
    "train languages": "test_teaching_languages.py",
    "train baseline": "test_baselines.py",
    "reproduce fusion": "test_reproduce.py",
    "reproduce mkl-visita": "test_reproduce_mkl.py",
}
"""What trains or measures takes long; these files run it, watched."""


def commands() -> Iterator[str]:
    """Yield every command that there is, such as ``data check``."""
    for name, part in get_command(app).commands.items():
        for inner in getattr(part, "commands", [""]):
            yield f"{name} {inner}".strip()


def lines(pairs: Path, out: Path) -> dict[str, list[str]]:
    """Return words for every other command, in an order in which they find what they need."""
    text, picture = "a red star", str(pairs / "00000.jpg")
    gallery = ("--gallery", str(out / "galleries"))
    article = out / "article.txt"
    article.write_text("It was a red star. Nobody saw it.", "utf-8")
    return {
        "models": [],
        "use": [],
        "data check": [f"folder:{pairs}"],
        "data articles": [f"folder:{pairs}", "--noise", "1", "--out", str(pairs / "a.jsonl")],
        "data croissant": [f"folder:{pairs}", "--out", str(pairs / "c.json")],
        "index": [str(pairs), *gallery],
        "search": [text, str(pairs), *gallery],
        "recommend": [str(article), str(pairs), *gallery],
        "match": [picture, text],
        "explain": [picture, text, "--out", str(out / "why.html")],
        "caption": [picture, "--from", str(pairs / "00001.txt")],
        "answer": [picture, "Is there a star?", "--choices", "yes,no"],
        "gallery list": [*gallery],
        "gallery verify": [*gallery],
        "gallery compact": [str(pairs), *gallery],
        "gallery info": [str(pairs), *gallery],
        "gallery duplicates": [str(pairs), *gallery],
        "gallery export": [str(pairs), str(out / "gallery.parquet"), *gallery],
        "gallery rm": [str(pairs), "--yes", *gallery],
        "gallery import": [str(out / "gallery.parquet"), str(pairs), *gallery],
    }


def test_every_command_is_run_here_or_elsewhere(tmp_path):
    lacking = {*commands()} - {*lines(tmp_path, tmp_path), *ELSEWHERE}
    assert not lacking, f"give {lacking} a line in lines(), or in ELSEWHERE, of {__file__}"
    assert {*lines(tmp_path, tmp_path), *ELSEWHERE} == {*commands()}
    for command, file in ELSEWHERE.items():
        words = ", ".join(f'"{word}"' for word in command.split())
        assert words in Path(__file__).with_name(file).read_text("utf-8"), command


@pytest.mark.slow
@pytest.mark.parametrize("home", ["empty", "unwritable"])
def test_no_command_speaks_or_writes_where_it_was_not_asked(home, tmp_path):
    user, scratch, out = (tmp_path / name for name in ("user", "scratch", "out"))
    for folder in (user, scratch, out):
        folder.mkdir()
    draw_pairs(tmp_path / "pairs", 12)
    given = lines(tmp_path / "pairs", out)
    if home == "empty":  # what would be said or written there, is at the first import
        given = {name: given[name] for name in ("search", "explain", "gallery list")}
    notes = tmp_path / "notes"
    places = {"HOME": str(user) if home == "empty" else NOWHERE, "TMPDIR": str(scratch)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRIVER],
        input="".join("\t".join([*name.split(), *words]) + "\n" for name, words in given.items()),
        env={**os.environ, **places, "VISITA_TESTS_NOTES": str(notes)},
        cwd=scratch,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    statuses = re.findall(r"^status (\d)$", done.stderr, re.MULTILINE)
    assert len(statuses) == len(given) and "2" not in statuses, done.stderr
    assert notes.read_text("utf-8") == ""
    assert [*user.iterdir(), *scratch.iterdir()] == []
    assert not re.search("warning|cache directory", done.stderr, re.IGNORECASE), done.stderr
