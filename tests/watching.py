"""Importing this watches the session: ``watched`` says what is noted, and HOME is empty.

The first process of the tests sets it up, for itself and for all that it starts.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

WATCHED = str(Path(__file__).parent / "watched")

if "VISITA_TESTS_NOTES" not in os.environ:
    scratch = Path(tempfile.mkdtemp(prefix="visita-tests-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    (scratch / "user").mkdir()
    os.environ["HOME"] = str(scratch / "user")
    os.environ["VISITA_TESTS_NOTES"] = str(scratch / "notes")
    paths = [WATCHED, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, WATCHED)
    import watch  # noqa: F401


def notes() -> str:
    """Return what was noted until now; see ``watched/watch.py``."""
    return Path(os.environ["VISITA_TESTS_NOTES"]).read_text("utf-8")
