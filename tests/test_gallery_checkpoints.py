"""Long galleries are opened from arrays beside their lines; of doubt, the lines alone count."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from standin import draw_noise
from test_gallery_damage import Place, flip

from visita.gallery.catalog import INDEX, Catalog
from visita.gallery.entries import Entries, Entry
from visita.gallery.upkeep import compact_gallery, verify_gallery
from visita.store.checkpoint import has_checkpoint
from visita.store.lock import WriterLock
from visita.store.store import FeatureStore
from visita.store.texts import Texts, find

ODD = "b\udcff/\n\t ü.png"


class LongPlace(Place):
    """One that counts as long."""

    def sync(self):
        self.encoder.encoded.clear()
        return self.gallery.sync(self.matcher, self.encoder)

    @property
    def lines(self) -> list[Path]:
        return sorted(self.gallery.path.rglob("*.jsonl"))

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self.gallery.path.rglob("*.checkpoint"))


@pytest.fixture
def place(tmp_path, monkeypatch) -> LongPlace:
    for user in ("visita.gallery.catalog", "visita.store.journal"):
        monkeypatch.setattr(f"{user}.LONG", 1)
    return LongPlace(tmp_path)


def blotted(path: Path) -> None:
    """Zero a line's middle such that neither size, end nor time of change tell."""
    content, status = bytearray(path.read_bytes()), path.stat()
    content[20:40] = bytes(20)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_long_gallery_is_read_from_its_checkpoints_and_the_lines_can_still_be_checked(place):
    names = [path.name.partition("-")[0] for path in place.checkpoints]
    assert names == ["journal", "index", "journal"]
    for path in place.lines:
        if path.name != "metadata.jsonl":
            blotted(path)
    assert place.vectors() == place.truth
    said = verify_gallery(place.gallery.path).damaged
    assert INDEX in said and len(said) == 3
    place.sync()
    place.sync()
    assert place.vectors() == place.truth
    assert not verify_gallery(place.gallery.path).damaged
    assert len(place.checkpoints) == 3


def test_every_change_is_seen(place):
    truth = dict(place.truth)
    draw_noise(place.folder / "new.png", 99)
    place.sync()
    with_new = place.vectors()
    assert len(with_new) == 9 and truth.items() < with_new.items()
    old = place.folder / "0.png"
    old.rename(place.folder / ODD.replace("/", "-"))
    assert place.sync().renamed == 1
    renamed = place.vectors()
    assert renamed.pop(str(place.folder / ODD.replace("/", "-"))) == truth[str(old)]
    (place.folder / "1.png").unlink()
    place.sync()
    left = place.vectors()
    assert str(place.folder / "1.png") not in left and len(left) == 8
    assert compact_gallery(place.gallery.path) > 0
    assert place.vectors() == left
    assert len(place.checkpoints) == 3
    assert place.sync().in_step and place.encoder.encoded == []


def test_a_line_more_or_lines_written_anew_are_read(place):
    gallery = place.gallery
    index = gallery.path / INDEX
    lock = WriterLock(gallery.path)
    lock.acquire()
    Catalog(gallery.path).update({}, ["0.png"], lock)
    lock.release()
    assert not has_checkpoint(index)
    assert place.vectors().keys() == place.truth.keys() - {str(place.folder / "0.png")}
    place.sync()
    assert has_checkpoint(index) and place.vectors() == place.truth
    os.utime(index, ns=(1, 1))
    assert not has_checkpoint(index) and place.vectors() == place.truth


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
@pytest.mark.parametrize("which", range(3))
def test_a_checkpoint_that_is_damaged_is_not_used_and_made_again(place, harm, which, capsys):
    path = place.checkpoints[which]
    if harm == "flip":
        flip(path, 4 * path.stat().st_size)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    assert place.vectors() == place.truth
    is_read = path.name.startswith("index") or "/vectors-" in path.as_posix()
    said = f"{path} is damaged" in capsys.readouterr().err
    assert said == (is_read and harm != "gone")
    assert verify_gallery(place.gallery.path).damaged == ([path.name] if harm != "gone" else [])
    draw_noise(place.folder / "new.png", 99)
    place.sync()
    assert len(place.checkpoints) == 3
    assert not verify_gallery(place.gallery.path).damaged
    assert place.truth.items() < place.vectors().items()


KNOWN = {
    ODD: Entry(1, -5, 2**64 - 1, "ab" * 32, described="1"),
    "a.png": Entry(0, 0, 0, "cd" * 32, "is broken", "pillow 1", 17, None),
    "c.png": Entry(2**62, 2**62, 7, "ef" * 32, described="1-x"),
    "d.png": Entry(3, 3, 3, "ab" * 32, gone=0, described="1"),
}


def filled(known: dict[str, Entry]) -> Entries:
    entries = Entries()
    entries.update(known)
    return entries


def test_entries_come_back_from_arrays_as_they_were():
    arrays = filled(KNOWN).to_arrays()
    entries = Entries(arrays)
    assert entries == KNOWN and list(entries) == sorted(KNOWN) and len(entries) == 4
    assert {path: entries[path] for path in entries} == KNOWN
    assert list(entries.shown().paths) == list(filled(KNOWN).shown().paths) == [ODD, "c.png"]
    assert entries.rows(["x", *sorted(KNOWN)]).tolist() == [-1, 0, 1, 2, 3]
    with pytest.raises(OverflowError):
        filled({"a": Entry(2**70, 0, 0, "")}).to_arrays()
    assert list(filled({"a": Entry(2**70, 0, 0, "")}).shown().paths) == ["a"]


@pytest.mark.parametrize("seed", range(20))
def test_entries_that_change_are_as_a_dict_would_be(seed):
    """Whatever is changed, taken out and added, in whatever order, between two checkpoints."""
    rng = np.random.default_rng(seed)
    names = [f"{chr(97 + at % 7)}{at}\u00fc.png" for at in range(30)] + list(KNOWN)
    truth: dict[str, Entry] = {}
    entries = Entries()
    for _ in range(4):
        for name in rng.choice(names, 15):
            if rng.random() < 0.3:
                assert entries.pop(name, None) == truth.pop(name, None)
            else:
                size, gone = int(rng.integers(5)), [None, 3][int(rng.integers(2))]
                error, stamp = [None, "no"][int(rng.integers(2))], str(rng.integers(4))
                entry = Entry(size, size, size, f"{size:064x}", error, None, gone, stamp)
                truth[name] = entries[name] = entry
        there = {path: e.digest for path, e in sorted(truth.items()) if e.is_there}
        before, apart = Entries(entries.to_arrays()), entries.copy()
        apart["only.there"] = Entry(1, 1, 1, "")
        for some in (entries, before):
            assert some == truth and len(some) == len(truth) and set(some) == truth.keys()
            assert all(some.get(name) == truth.get(name) for name in names)
            assert some.digests() == {entry.digest for entry in truth.values()}
            shown = some.shown()
            assert dict(zip(shown.paths, shown.digests, strict=True)) == there
            assert list(shown.paths) == list(there)
        words = before.arrays["described.words.ends"]
        assert len(words) == len({entry.described for entry in truth.values()})
        entries = before if rng.random() < 0.7 else entries


def test_strings_in_one_array_are_those_they_were_made_of():
    given = ["", "a", ODD, "日本", "a"]
    texts = Texts.of(given)
    assert list(texts) == given and [texts[at] for at in range(-5, 5)] == [*given, *given]
    assert texts[1:4] == given[1:4] and list(texts.beginning("/r/")) == [f"/r/{t}" for t in given]
    kept = np.array([True, False, True, True, False])
    assert list(texts.only(kept)) == ["", ODD, "日本"]
    with pytest.raises(IndexError):
        texts[5]


@pytest.mark.parametrize("width", [1, 8, 16, 64])
@pytest.mark.parametrize("missing", [False, True])
def test_strings_are_found_among_others(width, missing):
    rng = np.random.default_rng(width)
    among = list(dict.fromkeys(bytes(row).hex()[:width] for row in rng.bytes(3200).split(b"\0")))
    among = [text.ljust(width, "0") for text in among]
    among = list(dict.fromkeys(among))
    wanted = [among[at] for at in rng.integers(0, len(among), 50)] + ["0" * width] * missing
    places = {text: place for place, text in enumerate(among)}
    truth = [places.get(text, -1) for text in wanted]
    assert find(Texts.of(wanted), Texts.of(among)).tolist() == truth
    assert find(Texts.of(wanted), Texts.of(())).tolist() == [-1] * len(wanted)
    assert find(Texts.of(()), Texts.of(among)).tolist() == []


def test_a_store_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("visita.store.journal.LONG", 1)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    with FeatureStore.create(tmp_path / "s", {"v": 3}, {}) as store:
        store.append(["a", "b"], {"v": rows[:2]})
        store.checkpoint()
        store.append(["c"], {"v": rows[2:3]})
        store.drop(["a"])
        store.checkpoint()
    with FeatureStore.open(tmp_path / "s", write=True) as store:
        assert store.is_quick and store.ids == ["b", "c"]
        store.append(["a"], {"v": rows[3:]})
        assert not store.is_quick
    store = FeatureStore.open(tmp_path / "s")
    assert store.rows(["a", "b", "c"]) == [3, 1, 2] and not store.damaged()
