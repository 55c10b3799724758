"""A draft is deleted when its writer is gone, and only then; checksums are XXH3's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from visita.durable import (
    checksum,
    checksum_of,
    draft_beside,
    make_folder,
    sync_folder,
    sync_tree,
    write_durably,
)

WRITER = """
import sys
from pathlib import Path
from visita.durable import draft_beside
with draft_beside(Path(sys.argv[1])) as draft:
    (draft / "half").write_text("half")
    print(draft, flush=True)
    sys.stdin.read()
"""

locks = pytest.mark.skipif(sys.platform == "win32", reason="folders have no locks there")


def start_writer(place: Path) -> tuple[subprocess.Popen[str], Path]:
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert child.stdout
    return child, Path(child.stdout.readline().strip())


@locks
def test_the_draft_of_a_killed_writer_is_deleted_by_the_next(tmp_path):
    child, draft = start_writer(tmp_path / "thing")
    with child:
        child.kill()
    assert (draft / "half").exists()
    with draft_beside(tmp_path / "thing"):
        assert not draft.exists()
    assert list(tmp_path.iterdir()) == []


@locks
def test_the_draft_of_a_live_writer_is_kept(tmp_path):
    child, draft = start_writer(tmp_path / "thing")
    with child:
        with draft_beside(tmp_path / "thing") as mine:
            assert (draft / "half").exists() and mine != draft
        assert (draft / "half").exists()
    assert child.returncode == 0 and not draft.exists()


def test_what_is_no_draft_of_this_is_kept(tmp_path):
    names = [".thing-12345678", ".things.draft-12345678", ".thing[.draft-1", "thing.draft-1"]
    for name in names:
        (tmp_path / name).mkdir()
    with draft_beside(tmp_path / "thing"), draft_beside(tmp_path / "thing["):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({*names} - {names[2]})


def test_a_draft_within_a_draft_is_another(tmp_path):
    with draft_beside(tmp_path / "thing") as outer, draft_beside(outer / "part") as inner:
        assert inner.parent == outer
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "x.json"
    for content in (b"one", b"two" * 100_000):
        write_durably(path, content)
        assert path.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_folders_are_made_and_waited_for(tmp_path):
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "file").write_text("x", "utf-8")
    (tmp_path / "a" / "b" / "file").chmod(0o400)
    sync_tree(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")


def test_a_checksum_tells_every_flipped_bit_of_a_file(tmp_path):
    content = bytes(range(200))
    path = tmp_path / "x"
    path.write_bytes(content)
    right = checksum_of(path)
    assert right == checksum(content) == checksum(np.arange(200, dtype=np.uint8).data)
    assert checksum(b"") == "2d06800538d394c2"  # XXH3 64 of nothing, from its specification
    flipped = {
        checksum(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
        for i in range(200)
        for bit in range(8)
    }
    assert len(flipped) == 1600 and right not in flipped
