"""Reading on a real Ray cluster makes the gallery that one process makes, whatever dies."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import bucket
import cluster as program
import numpy as np
import pytest
from cluster import BATCH, Deadly, cluster
from commands import process, run
from killing import killed
from standin import ColourMeans, LinearMatcher, draw_noise

from visita.errors import ConfigError, MismatchError
from visita.gallery.catalog import Catalog
from visita.gallery.gallery import StoredGallery
from visita.gallery.metadata import METADATA
from visita.store.store import FeatureStore

ray = pytest.importorskip("ray", reason="needs ray: pip install 'visita[ray]'")
from visita.gallery import on_ray  # noqa: E402

COUNT = 5 * BATCH
ENCODER = ColourMeans(batch=BATCH)
MATCHER = LinearMatcher(ENCODER.recipe)


@pytest.fixture(scope="module")
def storage() -> Iterator[bool]:
    """Tell whether there is object storage, which the cluster is then told of."""
    with bucket.serving() if bucket.is_here() else nullcontext():
        yield bucket.is_here()


@pytest.fixture(scope="module")
def address(storage: bool) -> Iterator[str]:
    assert storage == bucket.is_here()  # the cluster has its address
    with cluster() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", address)
        yield address


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Draw small pictures, some of them twice, in two folders and with words beside, one broken."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT - 4):
        draw_noise(folder / f"{number:03}.png", number)
    (folder / "more").mkdir()
    for number, name in ((1, "more/a copy.png"), (200, "000 copy.png"), (3, "more/new\nline.png")):
        shutil.copy(folder / f"{number:03}.png", folder / name)
    (folder / "007.txt").write_text("seven", "utf-8")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def alone(pictures, tmp_path_factory) -> StoredGallery:
    gallery = StoredGallery.open(pictures, home=tmp_path_factory.mktemp("alone"))
    gallery.sync(MATCHER, ENCODER)
    return gallery


def kept(gallery: StoredGallery) -> dict[str, Any]:
    """Return all that a gallery keeps, row for row."""
    stores = [FeatureStore.open(path) for path in sorted(gallery.path.glob("*-*")) if path.is_dir()]
    rows = [{n: s.column(n).tobytes() for n in s.columns} | {"ids": s.ids} for s in stores]
    snapshot = gallery.snapshot(MATCHER.fingerprint())
    words = gallery.path / METADATA
    return {
        "entries": Catalog(gallery.path).entries,
        "rows": rows,
        "paths": snapshot.paths,
        "vectors": snapshot.vectors.tobytes(),
        "metadata": words.read_text("utf-8").count("seven"),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_the_gallery_is_that_of_one_process_row_for_row(pictures, alone, tmp_path):
    gallery = StoredGallery.open(pictures, home=tmp_path)
    report = gallery.sync(MATCHER, ENCODER, read=on_ray.read_on_ray)
    assert report.added == COUNT - 1 and [s.item for s in report.skipped] == [
        str(pictures / "broken.png")
    ]
    assert kept(gallery) == kept(alone)


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_worker_killed_in_the_middle_loses_nothing_and_adds_nothing_twice(
    pictures, alone, tmp_path
):
    gallery, notes = StoredGallery.open(pictures, home=tmp_path / "home"), tmp_path / "notes"
    notes.mkdir()
    deadly = Deadly("100.png", 1, notes)
    gallery.sync(MATCHER, deadly, read=on_ray.read_on_ray)
    assert len(list(notes.iterdir())) == 1
    assert kept(gallery) == kept(alone)


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_driver_that_was_killed_goes_on_where_it_was(address, pictures, alone, tmp_path):
    command = [sys.executable, program.__file__, address, str(tmp_path), str(pictures)]
    acknowledged = killed(command, 1, 0.0)[-1]
    gallery = StoredGallery.open(pictures, home=tmp_path)
    found = gallery.snapshot(MATCHER.fingerprint())
    assert BATCH - 1 <= acknowledged - 1 <= len(found) < COUNT - 1
    report = gallery.sync(MATCHER, ENCODER, read=on_ray.read_on_ray)
    assert report.added == COUNT - 1 - len(found)
    assert kept(gallery)["rows"] == kept(alone)["rows"]
    assert kept(gallery)["entries"] == kept(alone)["entries"]


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_workers_fetch_pictures_from_a_bucket(storage, pictures, alone, tmp_path):
    if not storage:
        pytest.skip(bucket.LACKING)
    bucket.client().create_bucket(Bucket="pictures")
    some = sorted(pictures.glob("*.png"))[:80]
    for path in some:
        bucket.client().put_object(Bucket="pictures", Key=path.name, Body=path.read_bytes())
    gallery = StoredGallery.open("s3://pictures", home=tmp_path)
    assert gallery.sync(MATCHER, ENCODER, read=on_ray.read_on_ray).added == len(some)
    there, here = gallery.snapshot(MATCHER.fingerprint()), alone.snapshot(MATCHER.fingerprint())
    vectors = dict(zip(here.paths, here.vectors, strict=True))
    assert there.paths == [f"s3://pictures/{path.name}" for path in some]
    assert np.array_equal(there.vectors, [vectors[str(path)] for path in some])


@pytest.mark.slow
@pytest.mark.usefixtures("address")
def test_a_picture_that_ends_every_worker_is_named_and_the_rest_is_read(tmp_path):
    for number in range(3):
        draw_noise(tmp_path / "pictures" / f"{number}.png", number)
    (tmp_path / "notes").mkdir()
    gallery = StoredGallery.open(tmp_path / "pictures", home=tmp_path / "home")
    deadly = Deadly("1.png", 1000, tmp_path / "notes")
    report = gallery.sync(MATCHER, deadly, read=on_ray.read_on_ray)
    assert report.added == 2 and "ended every process that read it" in report.skipped[0].reason
    assert gallery.sync(MATCHER, ENCODER).added == 1


def test_known_digests_are_found_in_their_order_and_others_are_not():
    rng = np.random.default_rng(0)
    known = [rng.bytes(32).hex() for _ in range(100)] + ["00" * 32, "ab" + "00" * 31]
    digests = on_ray.Digests(known)
    assert all(digest in digests for digest in known)
    assert not any(rng.bytes(32).hex() in digests for _ in range(100))
    assert "ab" * 32 not in on_ray.Digests([])


def test_a_machine_that_computes_other_features_is_refused():
    job = on_ray._Job(ray.cloudpickle.dumps(ENCODER), "others")
    with pytest.raises(MismatchError, match="computes other features"):
        on_ray._unpacked(job)


def test_a_cluster_that_is_not_there_is_named(monkeypatch, tmp_path):
    draw_noise(tmp_path / "pictures" / "a.png", 0)
    monkeypatch.setenv("RAY_ADDRESS", "no address")
    gallery = StoredGallery.open(tmp_path / "pictures", home=tmp_path)
    with pytest.raises(ConfigError, match="RAY_ADDRESS"):
        gallery.sync(MATCHER, ENCODER, read=on_ray.read_on_ray)


def test_without_the_extra_its_line_is_named(monkeypatch, tmp_path):
    draw_noise(tmp_path / "pictures" / "a.png", 0)
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run("index", tmp_path / "pictures", "--ray", "--gallery", tmp_path)
    assert done.status == 2 and "pip install 'visita[ray]'" in done.err


def test_nothing_of_ray_is_imported_unless_it_is_asked_for():
    modules = "visita.cli.index, visita.search.galleries, visita.gallery.on_ray"
    code = f"import sys, {modules}; assert 'ray' not in sys.modules"
    assert process(command=(sys.executable, "-c", code)).status == 0
