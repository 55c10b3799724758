"""The feature store: right after every crash, refusal and compaction."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from killing import expected, kill_once
from standin import ColourMeans, draw_noise

from visita.artifact import read_sealed, write_sealed
from visita.errors import ArtifactError, DamagedError, DataError, MismatchError
from visita.store.store import FeatureStore
from visita.types import Skipped

COLUMNS = {"lite2/head:avg": 3, "lite2/head:avg@mirror": (3,), "lite2/block15:grid": (4, 2)}
FACTS = {"encoders": {"lite2": "abc"}, "precision": "float32"}
ODD_IDS = [
    "a/b c",
    "",
    "naïve\n\u2028",
    "照片",
    "\udcff\x00",
    "\ud83d\ude00",
    "\U0001f600",
    "\u00e9",
    "e\u0301",
]


def rows(ids: list[str]) -> dict[str, np.ndarray]:
    """Return columns that follow from the ids alone."""
    seeds = [[3, *one.encode("utf-8", "surrogatepass")] for one in ids]
    values = np.array([np.random.default_rng(s).normal(size=14) for s in seeds]).reshape(-1, 14)
    grid = values[:, 6:].reshape(-1, 4, 2)
    return dict(zip(COLUMNS, (values[:, :3], values[:, 3:6], grid), strict=True))


def names(start: int, stop: int) -> list[str]:
    return [f"picture-{i}" for i in range(start, stop)]


def assert_holds(store: FeatureStore, ids: list[str]) -> None:
    assert store.ids == ids
    assert len(store) == len(ids)
    assert store.rows(ids) == list(range(len(ids)))
    for name, column in rows(ids).items():
        assert np.array_equal(store.column(name), column.astype(store.column(name).dtype))


def assert_rows(store: FeatureStore, ids: list[str]) -> None:
    """As ``assert_holds``, where some rows belong to no id."""
    assert store.ids == ids
    at = store.rows(ids)
    for name, column in rows(ids).items():
        assert np.array_equal(store.column(name)[at], column.astype(store.column(name).dtype))


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def reopened(folder: Path) -> str:
    """Return what a new process says that opens a store."""
    code = (
        "import sys; from pathlib import Path; from visita.store.store import FeatureStore\n"
        "FeatureStore.open(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, folder]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stderr


def filled(folder: Path, *batches: list[str]) -> Path:
    with FeatureStore.create(folder, COLUMNS, FACTS) as store:
        for batch in batches:
            store.append(batch, rows(batch))
    return folder


def files_of(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder / "data-1").iterdir()}


def column_file(folder: Path) -> Path:
    return next(path for name, path in files_of(folder).items() if name.startswith("00-"))


def test_rows_come_back_in_order_and_by_id(tmp_path):
    folder = filled(tmp_path / "deep" / "store", names(0, 5), [], names(5, 7))
    store = FeatureStore.open(folder, FACTS)
    assert_holds(store, names(0, 7))
    assert store.facts == FACTS
    assert store.columns == {
        name: s if isinstance(s, tuple) else (s,) for name, s in COLUMNS.items()
    }
    assert store.nbytes == 7 * (3 * 4 + 3 * 4 + 8 * 2)
    assert "picture-3" in store and "picture-7" not in store


def test_pooled_columns_are_float32_grids_float16_and_all_read_only(tmp_path):
    store = FeatureStore.open(filled(tmp_path / "s", names(0, 2)))
    assert [store.column(name).dtype for name in COLUMNS] == [np.float32, np.float32, np.float16]
    assert isinstance(store.column("lite2/head:avg"), np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.column("lite2/head:avg")[0, 0] = 1


def test_any_text_is_an_id(tmp_path):
    store = FeatureStore.open(filled(tmp_path / "s", ODD_IDS[:4], ODD_IDS[4:]))
    assert_holds(store, ODD_IDS)


def test_column_names_that_differ_only_in_signs_or_case_do_not_collide(tmp_path):
    columns = {"a/b": 1, "a:b": 1, "A@b": 1, "../b": 1, "x" * 300: 1}
    with FeatureStore.create(tmp_path / "s", columns, {}) as store:
        store.append(["one"], {name: np.full((1, 1), i) for i, name in enumerate(columns)})
    store = FeatureStore.open(tmp_path / "s")
    assert [store.column(name).item() for name in columns] == [0, 1, 2, 3, 4]


def test_an_empty_store_has_empty_columns(tmp_path):
    store = FeatureStore.open(filled(tmp_path / "s"))
    assert len(store) == 0 and store.ids == []
    assert store.column("lite2/block15:grid").shape == (0, 4, 2)


def test_skipped_items_are_overridden_by_a_later_reason_or_success(tmp_path):
    with FeatureStore.create(tmp_path / "s", COLUMNS, FACTS) as store:
        bad = [Skipped("x\udcff", "is empty"), Skipped("y", "is empty"), Skipped("z", "gone")]
        store.append([], {}, bad)
        store.append(["y"], rows(["y"]), [Skipped("z", "is too large")])
        assert store.skipped == {"x\udcff": "is empty", "z": "is too large"}
    assert FeatureStore.open(tmp_path / "s").skipped == {"x\udcff": "is empty", "z": "is too large"}


def test_a_reader_keeps_what_it_opened_while_a_writer_goes_on(tmp_path):
    filled(tmp_path / "s", names(0, 3))
    with FeatureStore.open(tmp_path / "s", write=True) as writer:
        reader = FeatureStore.open(tmp_path / "s")
        writer.append(names(3, 5), rows(names(3, 5)))
        assert_holds(writer, names(0, 5))
        assert_holds(reader, names(0, 3))
        assert_holds(FeatureStore.open(tmp_path / "s"), names(0, 5))
        writer.compact({"picture-4"})
        assert_holds(reader, names(0, 3))


@pytest.mark.parametrize("cut", [1, 20, 10_000])
def test_a_torn_last_line_is_as_if_its_batch_was_never_appended(tmp_path, cut):
    folder = filled(tmp_path / "s", names(0, 3))
    journal = files_of(folder)["journal.jsonl"]
    before = journal.stat().st_size
    with FeatureStore.open(folder, write=True) as store:
        store.append(names(3, 6), rows(names(3, 6)))
    os.truncate(journal, max(before + 1, journal.stat().st_size - cut))
    assert_holds(FeatureStore.open(folder), names(0, 3))
    with FeatureStore.open(folder, write=True) as store:
        assert column_file(folder).stat().st_size == 3 * 3 * 4
        store.append(names(4, 9), rows(names(4, 9)))
    assert_holds(FeatureStore.open(folder), names(0, 3) + names(4, 9))


@pytest.mark.parametrize("tail", [b"\0" * 400, b"\0" * 400 + b"\n", b'{"count":4,"ids":["x"]}\n'])
def test_rubbish_at_the_end_of_the_journal_is_ignored(tmp_path, tail):
    folder = filled(tmp_path / "s", names(0, 3))
    with files_of(folder)["journal.jsonl"].open("ab") as journal:
        journal.write(tail)
    with column_file(folder).open("ab") as column:
        column.write(b"half a r")
    assert_holds(FeatureStore.open(folder), names(0, 3))
    with FeatureStore.open(folder, write=True) as store:
        store.append(names(3, 5), rows(names(3, 5)))
    assert_holds(FeatureStore.open(folder), names(0, 5))


def test_a_damaged_line_of_the_journal_costs_its_own_rows_only(tmp_path, capfd):
    folder = filled(tmp_path / "s", names(0, 3), names(3, 5), names(5, 7))
    journal = files_of(folder)["journal.jsonl"]
    journal.write_bytes(journal.read_bytes().replace(b"picture-4", b"picture-X"))
    kept = names(0, 3) + names(5, 7)
    assert_rows(FeatureStore.open(folder), kept)
    assert f"{folder} is damaged: what is lost of it is made again" in capfd.readouterr().err
    with FeatureStore.open(folder, write=True) as store:
        assert_rows(store, kept)
        store.append(names(3, 5), rows(names(3, 5)))
    assert_rows(FeatureStore.open(folder), kept + names(3, 5))
    assert "damaged" not in reopened(folder)


def test_a_lost_line_in_the_middle_costs_its_own_rows_only(tmp_path):
    folder = filled(tmp_path / "s", names(0, 1), names(1, 2), names(2, 3))
    journal = files_of(folder)["journal.jsonl"]
    first, _, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + last)
    assert_rows(FeatureStore.open(folder), ["picture-0", "picture-2"])


@pytest.mark.parametrize("left", [None, 0, 3 * 4, 3 * 3 * 4 - 1])
def test_rows_that_a_column_has_lost_are_as_if_never_added(tmp_path, left):
    folder = filled(tmp_path / "s", names(0, 2), names(2, 3))
    if left is None:
        column_file(folder).unlink()
    else:
        os.truncate(column_file(folder), left)
    kept = names(0, 2 * ((left or 0) >= 2 * 12))
    assert_rows(FeatureStore.open(folder), kept)
    with FeatureStore.open(folder, write=True) as store:
        assert_rows(store, kept)
        store.append(names(len(kept), 3), rows(names(len(kept), 3)))
    assert_rows(FeatureStore.open(folder), names(0, 3))
    assert FeatureStore.open(folder).damaged() == []


def test_a_lost_journal_leaves_an_empty_store(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    files_of(folder)["journal.jsonl"].unlink()
    with pytest.raises(DamagedError, match=r"journal\.jsonl is missing"):
        FeatureStore.open(folder)
    with FeatureStore.open_or_create(folder, COLUMNS, FACTS) as store:
        store.append(names(0, 3), rows(names(0, 3)))
    assert_holds(FeatureStore.open(folder), names(0, 3))


@pytest.mark.parametrize("kind", ["00-", "01-", "02-"])
def test_every_flipped_bit_of_a_column_is_found_in_its_row(tmp_path, kind):
    folder = filled(tmp_path / "s", names(0, 2), names(2, 4))
    path = next(path for name, path in files_of(folder).items() if name.startswith(kind))
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 5):
        path.write_bytes(flipped(whole, bit))
        row = bit // 8 * 4 // len(whole)
        assert FeatureStore.open(folder).damaged() == [f"picture-{row}"]


def test_damaged_rows_are_dropped_and_added_again(tmp_path):
    folder = filled(tmp_path / "s", names(0, 4))
    whole = column_file(folder).read_bytes()
    column_file(folder).write_bytes(flipped(whole, 8 * 3 * 4 + 1))
    with FeatureStore.open(folder, write=True) as store:
        store.drop(store.damaged())
        assert store.ids == ["picture-0", "picture-2", "picture-3"]
        store.append(["picture-1"], rows(["picture-1"]))
    store = FeatureStore.open(folder)
    assert_rows(store, ["picture-0", "picture-2", "picture-3", "picture-1"])
    assert store.damaged() == []


def test_compacting_never_gives_a_checksum_to_a_damaged_row(tmp_path):
    folder = filled(tmp_path / "s", names(0, 4))
    column_file(folder).write_bytes(flipped(column_file(folder).read_bytes(), 0))
    with FeatureStore.open(folder, write=True) as store:
        store.compact(set(names(0, 3)))
    assert_rows(FeatureStore.open(folder), names(1, 3))


@pytest.mark.slow
def test_every_flipped_bit_of_the_header_is_mended_from_its_copy(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    for path in (folder / "store.json", folder / "data-1" / "store.json"):
        whole = path.read_bytes()
        for bit in range(0, 8 * len(whole), 7):
            path.write_bytes(flipped(whole, bit))
            assert_holds(FeatureStore.open(folder, FACTS), names(0, 3))
        path.write_bytes(flipped(whole, 8 * 30))
        with FeatureStore.open(folder, FACTS, write=True) as store:
            assert_holds(store, names(0, 3))
        assert path.read_bytes() == whole


@pytest.mark.parametrize("missing", ["both", "damaged"])
def test_a_store_without_a_readable_header_is_made_anew(tmp_path, missing, capfd):
    folder = filled(tmp_path / "s", names(0, 3))
    for path in (folder / "store.json", folder / "data-1" / "store.json"):
        if missing == "both":
            path.unlink()
        else:
            path.write_bytes(b"{" + path.read_bytes())
    with FeatureStore.open_or_create(folder, COLUMNS, FACTS) as store:
        assert_holds(store, [])
        store.append(names(0, 3), rows(names(0, 3)))
    assert_holds(FeatureStore.open(folder), names(0, 3))
    assert ("It is made anew" in capfd.readouterr().err) == (missing == "damaged")


def test_a_store_of_format_1_is_read_as_it_is_and_gets_checksums_with_its_first_writer(tmp_path):
    folder = tmp_path / "store"
    shutil.copytree(Path(__file__).parent / "data" / "format-1" / "store", folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    store = FeatureStore.open(folder, {"encoder": "abc"})
    assert store.ids == ["x", "y", "z"] and store.skipped["bad2"] == "is empty"
    assert store.column("a/pooled")[:, 0].tolist() == [0, 3, 2]
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with FeatureStore.open(folder, write=True) as store:
        assert store.column("a/x:grid").max(axis=(1, 2)).tolist() == [0, 0, 2]
    column = folder / "data-1" / "00-a-pooled"
    column.write_bytes(flipped(column.read_bytes(), 8 * 14))
    assert FeatureStore.open(folder).damaged() == ["y"]


def test_other_facts_are_refused_and_each_difference_is_named(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    other = {"encoders": {"lite2": "xyz"}, "precision": "float32", "side": 260}
    with pytest.raises(MismatchError) as refusal:
        FeatureStore.open(folder, other)
    assert str(refusal.value) == (
        f"{folder} was made with other settings: "
        'encoders.lite2 is "abc" there, "xyz" here; side is absent there, 260 here. '
        "Use the settings it was made with, or choose another folder."
    )


def test_other_columns_are_refused_by_open_or_create(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    columns = {**COLUMNS, "lite2/head:avg": 4}
    with pytest.raises(MismatchError, match=r"column lite2/head:avg is \[3\] there, \[4\] here"):
        FeatureStore.open_or_create(folder, columns, FACTS)
    with FeatureStore.open_or_create(folder, COLUMNS, FACTS) as store:
        assert_holds(store, names(0, 3))


def test_facts_that_json_turns_into_lists_still_agree(tmp_path):
    facts = {"levels": ("a", "b")}
    FeatureStore.create(tmp_path / "s", COLUMNS, facts).close()
    FeatureStore.open_or_create(tmp_path / "s", COLUMNS, facts).close()
    assert FeatureStore.open(tmp_path / "s", facts).facts == {"levels": ["a", "b"]}


def test_a_second_writer_waits_for_the_first_and_says_for_whom(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    with FeatureStore.open(folder, write=True):
        code = (
            "import sys; from pathlib import Path; from visita.store.store import FeatureStore\n"
            "FeatureStore.open(Path(sys.argv[1]), write=True).close()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, folder], stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert other.stderr
        assert other.stderr.readline() == (
            f"another process is writing to {folder}: waiting for process {os.getpid()}\n"
        )
        with pytest.raises(ArtifactError, match=r"This process is writing to .* already"):
            FeatureStore.open_or_create(folder, COLUMNS, FACTS)
    assert other.communicate() == (None, "")
    assert other.returncode == 0


def test_a_writer_whose_store_is_removed_is_told_so(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    with FeatureStore.open(folder, write=True) as store:
        shutil.rmtree(folder)
        with pytest.raises(ArtifactError, match="was removed while it was written to"):
            store.append(["new"], rows(["new"]))
        filled(folder, ["other"])
        with pytest.raises(ArtifactError, match="was removed while it was written to"):
            store.append(["new"], rows(["new"]))
    assert_holds(FeatureStore.open(folder), ["other"])


@pytest.mark.slow
def test_two_makers_of_one_store_share_it(tmp_path):
    code = (
        "import sys; from pathlib import Path; from visita.store.store import FeatureStore\n"
        "import numpy as np\n"
        "with FeatureStore.open_or_create(Path(sys.argv[1]), {'a': 1}, {}) as store:\n"
        "    store.append([sys.argv[2]], {'a': np.ones((1, 1))})"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    makers = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [one.wait() for one in makers] == [0, 0, 0, 0]
    assert sorted(FeatureStore.open(tmp_path / "s").ids) == ["0", "1", "2", "3"]


def test_a_reader_cannot_append(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    for store in (FeatureStore.open(folder), FeatureStore.open(folder, write=True)):
        store.close()
        with pytest.raises(ArtifactError, match="not open for writing"):
            store.append(["new"], rows(["new"]))


@pytest.mark.parametrize("ids", [["new", "picture-1"], ["new", "new"]])
def test_an_id_is_stored_once(tmp_path, ids):
    with FeatureStore.open(filled(tmp_path / "s", names(0, 3)), write=True) as store:
        with pytest.raises(DataError, match=f"'{ids[1]}' twice"):
            store.append(ids, rows(ids))
        store.append(["new"], rows(["new"]))
    assert_holds(FeatureStore.open(tmp_path / "s"), [*names(0, 3), "new"])


def test_a_batch_that_does_not_fit_is_refused_and_the_next_one_is_stored(tmp_path):
    with FeatureStore.create(tmp_path / "s", COLUMNS, FACTS) as store:
        batch = rows(["a", "b"])
        with pytest.raises(DataError, match=r"lite2/head:avg' has shape \(1, 3\), not \(2, 3\)"):
            store.append(["a", "b"], {**batch, "lite2/head:avg": batch["lite2/head:avg"][:1]})
        del batch["lite2/block15:grid"]
        with pytest.raises(DataError, match="lacks the column 'lite2/block15:grid'"):
            store.append(["a", "b"], batch)
        store.append(["a", "b"], rows(["a", "b"]))
    assert_holds(FeatureStore.open(tmp_path / "s"), ["a", "b"])


def test_unknown_ids_columns_and_folders_get_an_answer(tmp_path):
    store = FeatureStore.open(filled(tmp_path / "s", names(0, 3)))
    with pytest.raises(DataError, match="no row for 'nobody'"):
        store.rows(["nobody"])
    with pytest.raises(DataError, match="no column 'nothing', only lite2/head:avg, "):
        store.column("nothing")
    with pytest.raises(ArtifactError, match="not a feature store"):
        FeatureStore.open(tmp_path)
    with pytest.raises(ArtifactError, match="holds other files"):
        FeatureStore.create(tmp_path, COLUMNS, FACTS)


def test_a_store_of_a_newer_format_is_refused(tmp_path):
    folder = filled(tmp_path / "s", names(0, 1))
    header = folder / "store.json"
    write_sealed(header, {**read_sealed(header), "format": 3})
    with pytest.raises(ArtifactError, match="newer visita; upgrade"):
        FeatureStore.open(folder)


def test_compacting_keeps_the_wanted_rows_and_frees_the_rest(tmp_path):
    folder = filled(tmp_path / "s", names(0, 50), names(50, 100))
    kept = names(10, 20) + names(70, 75)
    with FeatureStore.open(folder, write=True) as store:
        store.append([], {}, [Skipped("bad", "is empty"), Skipped("worse", "is gone")])
        store.compact({*kept, "bad", "stranger"})
        assert_holds(store, kept)
        store.append(["new"], rows(["new"]))
        assert_holds(store, [*kept, "new"])
    store = FeatureStore.open(folder, FACTS)
    assert_holds(store, [*kept, "new"])
    assert store.skipped == {"bad": "is empty"}
    assert [path.name for path in folder.glob("data-*")] == ["data-2"]


def test_a_compaction_that_was_killed_leaves_the_old_store(tmp_path):
    folder = filled(tmp_path / "s", names(0, 10))
    shutil.copytree(folder / "data-1", folder / "data-2")  # what a kill before the swap leaves
    assert_holds(FeatureStore.open(folder), names(0, 10))
    with FeatureStore.open(folder, write=True) as store:
        store.compact(set(names(0, 2)))
    assert_holds(FeatureStore.open(folder), names(0, 2))


@pytest.mark.slow
def test_a_full_disk_is_reported_and_what_was_stored_is_safe(tmp_path):
    with FeatureStore.open(filled(tmp_path / "s", names(0, 3)), write=True) as store:
        more = names(3, 4000)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        try:
            with pytest.raises(ArtifactError, match=r"cannot be written .* make room"):
                store.append(more, rows(more))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(ArtifactError, match="not open for writing"):
            store.append(["new"], rows(["new"]))
    assert_holds(FeatureStore.open(tmp_path / "s"), names(0, 3))
    with FeatureStore.open(tmp_path / "s", write=True) as store:
        store.append(more, rows(more))
    assert_holds(FeatureStore.open(tmp_path / "s"), names(0, 4000))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_extraction_that_is_killed_loses_nothing_it_acknowledged(tmp_path, seed):
    pictures = tmp_path / "pictures"
    for i in range(48):
        draw_noise(pictures / f"{i:02d}.png", i)
    truth = expected("store", pictures, ColourMeans())
    after = int(np.random.default_rng(seed).integers(1, 8))
    outcome = kill_once("store", tmp_path, pictures, truth, after=after)
    assert outcome.acknowledged >= 4 * after
    assert outcome.right and outcome.resumed


def test_what_a_reader_needs_can_be_read_while_another_writes(tmp_path):
    folder, columns = tmp_path / "store", {"a": 2}
    with FeatureStore.create(folder, columns, {}) as writer:
        writer.append(["x"], {"a": np.ones((1, 2), np.float32)})
        with FeatureStore.open_or_create(folder, columns, {}, lambda s: "x" in s) as reader:
            assert reader.column("a")[reader.rows(["x"])[0]].tolist() == [1, 1]


NEEDS_Y = """
import sys
from pathlib import Path
from visita.store.store import FeatureStore
with FeatureStore.open_or_create(Path(sys.argv[1]), {"a": 2}, {}, lambda s: "y" in s) as store:
    print(list(store.ids))
"""


def test_what_another_process_may_be_adding_is_waited_for(tmp_path):
    folder = tmp_path / "store"
    with FeatureStore.create(folder, {"a": 2}, {}) as writer:
        command = [sys.executable, "-c", NEEDS_Y, str(folder)]
        other = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        assert other.stderr
        assert f"another process is writing to {folder}: waiting" in other.stderr.readline()
        writer.append(["y"], {"a": np.ones((1, 2), np.float32)})
    found, said = other.communicate()
    assert (other.returncode, found, said) == (0, "['y']\n", "")
