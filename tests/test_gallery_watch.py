"""Galleries are brought in step while files change."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest
from commands import VISITA
from drawn import draw_pairs
from standin import draw_noise

from visita.gallery.changes import changed_folders

pytest.importorskip("watchfiles")


def test_the_folder_that_something_changes_in_is_named_after_all_were_once(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
    changes = changed_folders(folders)
    assert next(changes) == folders
    draw_noise(folders[1] / "deep" / "a.png", 1)
    assert next(changes) == folders[1:]
    (folders[0] / "deep").rename(folders[0] / "deeper")
    assert next(changes) == folders[:1]
    (folders[1] / "deep" / "a.png").unlink()
    assert next(changes) == folders[1:]
    changes.close()


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_a_picture_is_read_as_it_comes_until_it_is_interrupted(tmp_path):
    draw_pairs(tmp_path / "pictures", 2)
    words = [*VISITA, "watch", str(tmp_path / "pictures"), "--gallery", str(tmp_path), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["added"] == 2
        draw_noise(tmp_path / "pictures" / "new.png", 5)
        assert json.loads(process.stdout.readline())["added"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
