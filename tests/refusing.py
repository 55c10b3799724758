"""What a process says that refuses a matcher, and that it loaded no library of networks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from extras import skip_if_told
from PIL import Image

WITHOUT_LIBRARIES = """
import sys
from visita.cli import main
try:
    main()
finally:
    print(*sorted({"torch", "transformers"} & set(sys.modules)), file=sys.stderr)
"""


def refusal(matcher: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a new process says of a matcher's name; it must say so by itself."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(folder / "hub"))
    picture = folder / "grey.png"
    Image.new("RGB", (8, 8), "grey").save(picture)
    arguments = ("match", str(picture), "a dog", "--matcher", matcher)
    command = [sys.executable, "-c", WITHOUT_LIBRARIES, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    skip_if_told(done.stderr)
    assert done.returncode == 2 and not done.stdout
    *said, loaded = done.stderr.splitlines()
    assert loaded == "", f"it loaded {loaded}"
    return " ".join(said)
