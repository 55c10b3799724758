"""Pictures in a bucket are indexed, searched and exported as those of a folder are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars
import pytest
from bucket import LACKING, client, is_here, serving
from commands import run
from standin import ColourMeans, LinearMatcher, draw_noise
from written import at, exif, save

from visita.data import buckets
from visita.data.locations import ObjectPath, location
from visita.errors import DataError
from visita.gallery.exported import export_gallery
from visita.gallery.filter import Filter
from visita.gallery.gallery import StoredGallery
from visita.gallery.imported import import_gallery
from visita.store.store import FeatureStore

pytest.importorskip("boto3", reason="needs boto3: pip install 'visita[s3]'")
pytestmark = pytest.mark.usefixtures("bucket")
ENCODER = ColourMeans()
MATCHER = LinearMatcher(ENCODER.recipe)
KEY = MATCHER.fingerprint()
BUCKET = "pictures"
URI = f"s3://{BUCKET}/all"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    if not is_here():
        pytest.skip(LACKING)
    with serving() as address:
        yield address


@pytest.fixture
def bucket(server) -> Iterator[str]:
    """Give an empty bucket, which is gone afterwards."""
    buckets._client.cache_clear()
    client().create_bucket(Bucket=BUCKET)
    yield server
    buckets._client.cache_clear()
    for item in client().list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        client().delete_object(Bucket=BUCKET, Key=item["Key"])
    client().delete_bucket(Bucket=BUCKET)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Draw pictures with dates, places, words beside them, a copy and one that is none."""
    folder = tmp_path / "here"
    for i in range(5):
        entries = exif({0x0110: "Canon R5"}, {0x9003: f"202{i}:01:01 00:00:00"}, at(1, 2))
        save(folder / f"year {i}" / "ä +&.jpg", i, exif=entries)
    shutil.copy(folder / "year 0" / "ä +&.jpg", folder / "copy.jpg")
    (folder / "copy.txt").write_text("a copy", "utf-8")
    (folder / "broken.png").write_bytes(b"none")
    return folder


def put(folder: Path) -> None:
    for path in sorted(folder.rglob("*.*")):
        if path.is_file():
            key = f"all/{path.relative_to(folder).as_posix()}"
            client().put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())


def synced(home: Path, place: str | Path = URI, encoder: ColourMeans = ENCODER):
    gallery = StoredGallery.open(place, home=home)
    return gallery, gallery.sync(MATCHER, encoder)


def test_a_bucket_is_read_as_the_same_folder_is_and_no_copy_is_kept(folder, tmp_path, monkeypatch):
    put(folder)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    there, report = synced(tmp_path / "there")
    here, same = synced(tmp_path / "local", folder)
    assert (report.added, len(report.skipped)) == (same.added, len(same.skipped)) == (6, 1)
    assert not list((tmp_path / "scratch").iterdir())
    ours, theirs = there.snapshot(KEY), here.snapshot(KEY)
    assert [path.removeprefix(f"{URI}/") for path in ours.paths] == [
        str(Path(path).relative_to(folder)) for path in theirs.paths
    ]
    assert np.array_equal(ours.vectors, theirs.vectors) and ours.digests == theirs.digests
    assert ours.paths[1].startswith(URI) and str(next(iter(ours))) == ours.paths[0]
    found = there.passing(ours, Filter(since="2023", camera="Canon"))
    assert found.dates == ["2023-01-01T00:00:00", "2024-01-01T00:00:00"]
    kept = [FeatureStore.open(next(g.path.glob("features-*"))) for g in (there, here)]
    assert kept[0].ids == kept[1].ids


def test_only_what_changed_is_fetched_and_read(folder, tmp_path, monkeypatch):
    put(folder)
    gallery, _ = synced(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("visita.gallery.at_hand.fetch", None)  # fetches nothing
        assert gallery.sync(MATCHER, ENCODER).unchanged == 6
    draw_noise(tmp_path / "new.png", 77)
    new = (tmp_path / "new.png").read_bytes()
    client().put_object(Bucket=BUCKET, Key="all/copy.jpg", Body=new)
    client().put_object(Bucket=BUCKET, Key="all/copy.txt", Body=b"another")
    client().delete_object(Bucket=BUCKET, Key="all/year 1/ä +&.jpg")
    report = gallery.sync(MATCHER, ENCODER)
    assert (report.changed, report.removed, report.unchanged) == (1, 1, 4)
    client().put_object(Bucket=BUCKET, Key="all/copy.txt", Body=b"a third text")
    encoder = ColourMeans()
    assert gallery.sync(MATCHER, encoder).unchanged == 5 and not encoder.encoded
    assert len(gallery.passing(gallery.snapshot(KEY), Filter(where="caption = 'a third text'")))


def test_replicas_pull_one_snapshot_and_encode_and_fetch_nothing(folder, tmp_path, monkeypatch):
    put(folder)
    gallery, _ = synced(tmp_path / "one")
    stored = location(f"s3://{BUCKET}/kept/gallery.parquet")
    assert export_gallery(gallery.path, stored) == 6
    with buckets.downloaded(ObjectPath(stored)) as copy:
        assert len(polars.read_parquet(copy)[f"vector-{KEY}"]) == 6
    client().delete_object(Bucket=BUCKET, Key="all/broken.png")
    client().delete_object(Bucket=BUCKET, Key="all/copy.txt")
    for name in ("two", "three"):
        replica = StoredGallery.open(URI, home=tmp_path / name)
        assert import_gallery(stored, replica) == 6
        with monkeypatch.context() as patch:
            patch.setattr("visita.gallery.at_hand.fetch", None)
            report, snapshot = replica.refresh(MATCHER, ENCODER)
        assert report.unchanged == 6
        assert np.array_equal(snapshot.vectors, gallery.snapshot(KEY).vectors)


HOSTILE = ("all/../up.png", "all//empty.png", "all/./dot.png", f"all/{'x' * 256}.png")


def test_names_that_no_file_can_have_are_told_and_the_rest_is_read(tmp_path):
    draw_noise(tmp_path / "a.png", 1)
    picture = (tmp_path / "a.png").read_bytes()
    names = (*HOSTILE, "all/a.png", "all/folder.png/", "all/\x01\u202e.png", "all/%2e%2e/b.png")
    for key in (*names, "elsewhere/c.png", "all/@eaDir/d.png", "all/.hidden/e.png", "all/f.psd"):
        client().put_object(Bucket=BUCKET, Key=key, Body=picture)
    gallery, report = synced(tmp_path / "home")
    paths = [path.removeprefix(f"{URI}/") for path in gallery.snapshot(KEY).paths]
    assert paths == ["\x01\u202e.png", "%2e%2e/b.png", "a.png"]
    assert [each.item for each in report.skipped] == sorted(f"s3://{BUCKET}/{k}" for k in HOSTILE)
    assert report.left_out == {"@eaDir": 1} and report.other_kinds == {"PSD": 1}
    kept = {path.resolve() for path in tmp_path.rglob("*.png")}
    assert kept == {tmp_path / "a.png"}


def test_what_changes_while_it_is_read_is_tried_again(folder, tmp_path):
    put(folder)

    class Meddling(ColourMeans):
        """Replaces another object while the first is encoded."""

        def features(self, path):
            client().put_object(Bucket=BUCKET, Key="all/late.png", Body=later)
            return super().features(path)

    draw_noise(tmp_path / "late.png", 5)
    early, later = (folder / "copy.jpg").read_bytes(), (tmp_path / "late.png").read_bytes()
    client().put_object(Bucket=BUCKET, Key="all/late.png", Body=early)
    gallery = StoredGallery.open(URI, home=tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visita.gallery.at_hand.AT_ONCE", 1)
        report = gallery.sync(MATCHER, Meddling(batch=1))
    assert [each.item for each in report.skipped if each.passing] == [f"{URI}/late.png"]
    assert report.added == 6
    assert gallery.sync(MATCHER, ENCODER).added == 1


def test_what_is_too_large_is_not_fetched(folder, tmp_path, monkeypatch):
    put(folder)
    monkeypatch.setattr(buckets, "MOST_BYTES", 3)
    with pytest.raises(DataError, match=r"holds more than"):
        synced(tmp_path)


def refused(home: Path, reason: str) -> None:
    """See that a gallery of pictures tells why its bucket cannot be read, and keeps them all."""
    buckets._client.cache_clear()
    gallery = StoredGallery.open(URI, home=home)
    for way in (gallery.sync, gallery.refresh):
        with pytest.raises(DataError, match=reason):
            way(MATCHER, ENCODER)
    assert len(gallery.snapshot(KEY)) == 6


def test_a_bucket_that_is_gone_or_refused_says_why_and_the_gallery_keeps_all(
    folder, tmp_path, monkeypatch
):
    put(folder)
    synced(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        refused(tmp_path, "cannot be reached")
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        refused(tmp_path, "no credentials")
    buckets._client.cache_clear()
    for path in folder.rglob("*.*"):
        if path.is_file():
            key = f"all/{path.relative_to(folder).as_posix()}"
            client().delete_object(Bucket=BUCKET, Key=key)
    refused(tmp_path, "No pictures were found")
    client().delete_bucket(Bucket=BUCKET)
    refused(tmp_path, "There is no bucket 'pictures'")
    with pytest.raises(DataError, match="There is no bucket"):
        export_gallery(StoredGallery.open(URI, home=tmp_path).path, location(f"{URI}.parquet"))
    client().create_bucket(Bucket=BUCKET)
    with pytest.raises(DataError, match="There is no object"):
        import_gallery(location(f"{URI}.parquet"), StoredGallery.open(URI, home=tmp_path / "x"))


def test_a_bucket_that_goes_while_it_is_read_ends_the_run_and_what_was_read_stays(
    bucket, folder, tmp_path, monkeypatch
):
    put(folder)

    class Leaving(ColourMeans):
        """Cuts the network once the first picture was encoded."""

        def features(self, path):
            os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
            buckets._client.cache_clear()
            return super().features(path)

    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    monkeypatch.setattr("visita.gallery.at_hand.AT_ONCE", 2)
    gallery = StoredGallery.open(URI, home=tmp_path)
    with pytest.raises(DataError, match="cannot be reached"):
        gallery.sync(MATCHER, Leaving(batch=1))
    os.environ["AWS_ENDPOINT_URL"] = bucket
    buckets._client.cache_clear()
    found = len(gallery.snapshot(KEY))
    assert 0 < found < 6
    assert gallery.sync(MATCHER, ENCODER).added == 6 - found


@pytest.mark.slow
def test_the_commands_take_buckets(folder, tmp_path):
    put(folder)
    parquet = f"s3://{BUCKET}/out.parquet"
    words = ("--gallery", tmp_path / "one", "--json")
    assert run("index", URI, *words).json["galleries"][0]["folder"] == URI
    assert run("gallery", "export", URI, parquet, *words).json == {"pictures": 6, "out": parquet}
    words = ("--gallery", tmp_path / "two", "--json")
    assert run("gallery", "import", parquet, URI, *words).json["pictures"] == 6
    found = run("search", "a copy", URI, "-k", "1", *words).json
    assert found["gallery_size"] == 6 and found["matches"][0]["path"].startswith(f"{URI}/")
