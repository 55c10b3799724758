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

from visita.errors import ArtifactError, DataError, MismatchError
from visita.features.store import FeatureStore
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
    assert [store.row(one) for one in ids] == list(range(len(ids)))
    for name, column in rows(ids).items():
        assert np.array_equal(store.column(name), column.astype(store.column(name).dtype))


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


def test_damage_before_the_last_line_is_an_error_that_says_what_to_do(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3), names(3, 5))
    journal = files_of(folder)["journal.jsonl"]
    journal.write_bytes(journal.read_bytes().replace(b"picture-1", b"picture-X"))
    with pytest.raises(ArtifactError, match=r"damaged in line 1: delete .*/s and run again"):
        FeatureStore.open(folder)


def test_a_lost_line_in_the_middle_is_noticed(tmp_path):
    folder = filled(tmp_path / "s", names(0, 1), names(1, 2), names(2, 3))
    journal = files_of(folder)["journal.jsonl"]
    first, _, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(first + last)
    with pytest.raises(ArtifactError, match="damaged in line 2"):
        FeatureStore.open(folder)


def test_a_column_shorter_than_promised_is_an_error_for_readers_and_writers(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    os.truncate(column_file(folder), 3 * 3 * 4 - 1)
    for write in (False, True):
        with pytest.raises(ArtifactError, match=r"shorter than the 3 rows .* delete .*/s and run"):
            FeatureStore.open(folder, write=write)


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    column_file(folder).unlink()
    with pytest.raises(ArtifactError, match=r"00-lite2-head-avg is missing: delete .*/s and run"):
        FeatureStore.open(folder)


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


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    folder = filled(tmp_path / "s", names(0, 3))
    with FeatureStore.open(folder, write=True):
        code = (
            "import sys; from pathlib import Path; from visita.features.store import FeatureStore\n"
            "FeatureStore.open(Path(sys.argv[1]), write=True)"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False
        )
        assert f"Another process is writing to {folder}: wait until it is done" in other.stderr
        with pytest.raises(ArtifactError, match="Another process is writing"):
            FeatureStore.open_or_create(folder, COLUMNS, FACTS)
    FeatureStore.open(folder, write=True).close()


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
        store.row("nobody")
    with pytest.raises(DataError, match="no column 'nothing', only lite2/head:avg, "):
        store.column("nothing")
    with pytest.raises(ArtifactError, match="not a feature store"):
        FeatureStore.open(tmp_path)
    with pytest.raises(ArtifactError, match="holds other files"):
        FeatureStore.create(tmp_path, COLUMNS, FACTS)


def test_a_store_of_a_newer_format_is_refused(tmp_path):
    folder = filled(tmp_path / "s", names(0, 1))
    header = folder / "store.json"
    header.write_text(header.read_text().replace('"format": 1', '"format": 2'))
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
        with FeatureStore.open_or_create(folder, columns, {}, ["x"]) as reader:
            assert reader.column("a")[reader.row("x")].tolist() == [1, 1]


NEEDS_Y = """
import sys
from pathlib import Path
from visita.features.store import FeatureStore
with FeatureStore.open_or_create(Path(sys.argv[1]), {"a": 2}, {}, ["y"]) as store:
    print(list(store.ids))
"""


def test_what_another_process_may_be_adding_is_waited_for(tmp_path):
    folder = tmp_path / "store"
    with FeatureStore.create(folder, {"a": 2}, {}) as writer:
        command = [sys.executable, "-c", NEEDS_Y, str(folder)]
        other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert other.stderr
        assert f"another process is writing to {folder}: waiting" in other.stderr.readline()
        writer.append(["y"], {"a": np.ones((1, 2), np.float32)})
    found, said = other.communicate()
    assert (other.returncode, found, said) == (0, "['y']\n", "")
