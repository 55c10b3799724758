"""What a process says that refuses matchers, and that it loaded no library of networks for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from extras import skip_if_told
from PIL import Image

WITHOUT_LIBRARIES = """
import sys
from visita.cli import main
picture, *matchers = sys.argv[1:]
for matcher in matchers:
    sys.argv[1:] = ["match", picture, "a dog", "--matcher", matcher]
    try:
        main()
    except SystemExit as ended:
        loaded = {"torch", "transformers"} & set(sys.modules)
        print("status", ended.code, *sorted(loaded), file=sys.stderr)
"""


def refusal(matcher: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a new process says of a matcher's name; it must say so by itself."""
    [said] = refusals([matcher], folder, monkeypatch)
    return said


def refusals(matchers: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a new process says of each of several names."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    picture = folder / "grey.png"
    Image.new("RGB", (8, 8), "grey").save(picture)
    command = [sys.executable, "-c", WITHOUT_LIBRARIES, str(picture), *matchers]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    skip_if_told(done.stderr)
    assert done.returncode == 0 and not done.stdout, done.stderr
    *told, rest = done.stderr.split("status 2\n")
    assert not rest and len(told) == len(matchers), f"it went on, or loaded a library: {rest}"
    return [" ".join(said.splitlines()) for said in told]
