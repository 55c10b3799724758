"""The service answers over real HTTP what the library does, and only to whom it may."""

from __future__ import annotations

import hashlib
import io
import shutil
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from commands import run
from PIL import Image
from serving import Service, place, sent, serving

import visita
from visita.gallery.filter import Filter
from visita.gallery.gallery import StoredGallery
from visita.gallery.snapshot import Snapshot
from visita.serve.models import SearchRequest

pytest.importorskip("fastapi")
TEXT = "a red circle on a blue background"


@pytest.fixture(scope="module")
def pictures(drawn_folder, tmp_path_factory) -> Path:
    """Return 33 drawn pictures, one of them twice, one by a link, and a file that is none."""
    folder = tmp_path_factory.mktemp("served") / "drawn"
    (folder / "deep").mkdir(parents=True)
    for path in sorted(drawn_folder.iterdir())[:60]:
        shutil.copy(path, folder)
    outside = folder.parent / "outside.jpg"
    for number, copy in ((40, folder / "changed.jpg"), (42, folder / "gone.jpg"), (44, outside)):
        shutil.copy(drawn_folder / f"{number:05d}.jpg", copy)
    (folder / "link.jpg").symlink_to(outside)
    shutil.copy(folder / "00000.jpg", folder / "deep" / "again.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "secret.txt").write_text("nobody's business", "utf-8")
    return folder


def digest(path: Path) -> str:
    """Return the id of a picture."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def galleries(tmp_path_factory) -> Path:
    """Return where its galleries are kept."""
    return tmp_path_factory.mktemp("serve-home")


@pytest.fixture(scope="module")
def service(pictures, galleries) -> Service:
    """Yield a service in step."""
    with serving(pictures, "--gallery", galleries) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def gallery(pictures, galleries, service) -> visita.Gallery:
    """Return the same gallery, through the library."""
    assert service.process.poll() is None
    return visita.Gallery.open(pictures, home=galleries)


def test_it_says_how_it_is(service, pictures):
    health, ready = service.ask("health"), service.ask("ready")
    assert health.json == {
        "status": "ok",
        "version": visita.__version__,
        "matcher": "visita-small",
    }
    assert ready.status == 200 and ready.json["ready"]
    [told] = ready.json["galleries"]
    assert told["folder"] == str(pictures) and told["pictures"] == 34
    assert any("broken.jpg" in line for line in told["skipped"])


def test_a_search_returns_what_the_library_does(service, gallery):
    expected = gallery.search(TEXT, k=7)
    found = service.ask("search", text=TEXT, k=7).json
    assert found["gallery_size"] == len(gallery)
    assert [m["path"] for m in found["matches"]] == [str(m.path) for m in expected]
    for match, known in zip(found["matches"], expected, strict=True):
        assert match["probability"] == pytest.approx(known.probability, abs=1e-4)
        assert match["id"] == digest(known.path)
        assert (match["width"], match["height"]) == (96, 80)
    posted = service.ask("search", {"text": TEXT, "k": 7}).json
    assert posted["matches"] == found["matches"]


def test_pages_follow_each_other_without_gap_or_repetition(service, gallery):
    expected = [str(match.path) for match in gallery.search(TEXT, k=100)]
    found, cursor = [], {}
    while cursor is not None:
        answer = service.ask("search", text=TEXT, k=8, **cursor).json
        found += [match["path"] for match in answer["matches"]]
        cursor = {"cursor": answer["next"]} if answer["next"] else None
    assert found == expected
    other = service.ask("search", text="another", k=8, cursor=answer["next"] or "MTp4")
    assert other.status == 422 and "another question" in other.json["detail"]


def test_a_filter_narrows_a_search(service, pictures):
    found = service.ask("search", text=TEXT, under="deep").json
    assert [m["path"] for m in found["matches"]] == [str(pictures / "deep" / "again.jpg")]
    assert found["gallery_size"] == 1
    for folder in ("..", "/", "../..", str(pictures), "nowhere", "deep/.."):
        refused = service.ask("search", text=TEXT, under=folder)
        assert refused.status == 422, folder


def test_each_thread_gets_what_passes_its_filter_which_is_found_once(gallery, monkeypatch):
    find, count = StoredGallery.passing, Counter()

    def counting(stored: StoredGallery, snapshot: Snapshot, where: Filter) -> Snapshot:
        count[where] += 1
        return find(stored, snapshot, where)

    filters = [Filter(under="deep"), Filter(since="2020"), Filter()]
    expected = [list(gallery.passing(where)) for where in filters]
    assert [len(paths) for paths in expected] == [1, 0, len(gallery)]
    monkeypatch.setattr(StoredGallery, "passing", counting)
    held = [gallery.passing(where) for where in filters]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda turn: list(gallery.passing(filters[turn % 3])), range(300))
        assert [*found] == expected * 100
    assert len(held) == 3 and max(count.values()) == 1


def test_pictures_like_a_picture_named_or_sent(service, gallery, pictures):
    expected = [str(m.path) for m in gallery.search_like(pictures / "00003.png", k=3)]
    by_upload = service.ask("search", {"like": [sent(pictures / "00003.png")], "k": 3}).json
    assert [m["path"] for m in by_upload["matches"]] == expected
    assert by_upload["kind"] == "picture" and by_upload["matches"][0]["probability"] is None
    name = {key: by_upload["matches"][0][key] for key in ("gallery", "id")}
    by_name = service.ask("search", {"like": [name], "k": 3}).json
    assert [m["path"] for m in by_name["matches"]] == expected


def test_a_picture_is_described_shown_small_and_downloaded(service, pictures):
    path = pictures / "00000.jpg"
    where = place(service.gallery(), digest(path))
    known = service.ask(f"pictures/{where}").json
    assert known["path"] == str(path) and known["copies"] == [str(pictures / "deep/again.jpg")]
    small = service.ask(f"thumbnails/{where}", side=160)
    assert small.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.body)).size) <= 160
    whole = service.ask(f"originals/{where}")
    assert whole.body == path.read_bytes() and whole.headers["content-type"] == "image/jpeg"
    assert whole.headers["content-disposition"].startswith("attachment")
    assert whole.headers["x-content-type-options"] == "nosniff"


def test_the_client_returns_what_the_library_does(service, gallery, pictures):
    client = visita.Client(f"http://{service.host}:{service.port}/")
    path = pictures / "00003.png"
    by_library = gallery.search(TEXT, k=4, group=True), gallery.search_like(path, k=4)
    by_client = client.search(TEXT, k=4, group=True), client.search_like(path, k=4)
    for ours, theirs in zip(by_library, by_client, strict=True):
        assert [(m.path, m.alike) for m in ours] == [(m.path, m.alike) for m in theirs]
        assert isinstance(theirs, type(ours)) and "Matches" in repr(theirs)
    pair = client.match(path, TEXT)
    assert pair.match == gallery.finder.match(path, TEXT).match
    best = client.found(SearchRequest(text=TEXT, k=1)).matches[0]
    why = client.explain(best, TEXT)
    assert why.heat.shape == (5, 5) and why._repr_html_()
    assert client.original(best) == Path(best.path).read_bytes()
    assert client.recommend(TEXT, k=2)[0].passage == TEXT
    with pytest.raises(visita.VisitaError, match="empty"):
        client.search(" ")
    with pytest.raises(visita.VisitaError, match="visita serve"):
        visita.Client("http://127.0.0.1:9").galleries()


def test_all_pictures_can_be_looked_through(service):
    first = service.ask("pictures", k=22).json
    rest = service.ask("pictures", k=22, cursor=first["next"]).json
    ids = [picture["id"] for picture in first["pictures"] + rest["pictures"]]
    assert first["total"] == len(ids) == len(set(ids)) == 33 and rest["next"] is None
    facets = service.ask(f"galleries/{service.gallery()}/facets").json
    assert facets["folders"] == [{"value": "deep", "count": 1}]


def test_match_explain_and_recommend_return_what_the_library_does(service, gallery, pictures):
    path, finder = pictures / "00002.jpg", gallery.finder
    asked = {"picture": sent(path), "text": TEXT}
    expected = finder.match(path, TEXT)
    assert service.ask("match", asked).json == pytest.approx(expected.to_dict(), abs=1e-4)
    why, told = visita.explain(finder, path, TEXT), service.ask("explain", asked).json
    assert [word["word"] for word in told["words"]] == [word.text for word in why.words]
    assert told["heat"][0] == pytest.approx(why.heat[0].tolist(), abs=1e-3)
    article = "<p>It rained.</p><p>A red circle was drawn on a blue background.</p>"
    best = visita.recommend([gallery], article.encode(), k=3)
    found = service.ask("recommend", {"article": article, "k": 3}).json["matches"]
    assert [m["path"] for m in found] == [str(m.path) for m in best]
    assert [m["passage"] for m in found] == [m.passage for m in best]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:99", 200),
        ("[::1]", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example", 400),
        ("", 400),
        ("[::1", 400),
    ],
)
def test_only_its_own_names_are_answered(service, name, status):
    assert service.ask("health", headers={"Host": name}).status == status


def test_what_changes_something_needs_a_header_that_foreign_pages_cannot_send(service):
    for path in ("search", "match", f"galleries/{service.gallery()}/sync"):
        assert service.ask(path, {}, headers={"X-Visita": "0"}).status == 403
    simple = service.ask("search", {"text": "a"}, headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in simple.headers


PATHS = [
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "//etc/passwd",
    "/api/v1/originals/{gallery}/..%2fsecret.txt",
    "/api/v1/originals/{gallery}/secret.txt",
    "/api/v1/originals/..%2f..%2f/{digest}",
    "/api/v1/thumbnails/{gallery}/%2fetc%2fpasswd",
    "/api/v1/pictures/{gallery}/{digest}",
    "/api/v1/originals/{gallery}/{digest}",
    "/page/../models.py",
    "/models.py",
    "/%00",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_of_a_client_reaches_the_disk(service, pictures, path):
    secret = digest(pictures / "secret.txt")
    answer = service.ask(path.format(gallery=service.gallery(), digest=secret))
    assert answer.status in (404, 422)
    assert b"root:" not in answer.body and b"nobody" not in answer.body
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_file_that_became_another_is_not_served(service, pictures):
    names = ("changed.jpg", "gone.jpg", "link.jpg")
    digests = {name: digest(pictures / name) for name in names}
    (pictures / "changed.jpg").write_text("a secret", "utf-8")
    (pictures / "gone.jpg").unlink()
    for kind in ("originals", "thumbnails"):
        statuses = {
            name: service.ask(f"{kind}/{place(service.gallery(), digest)}").status
            for name, digest in digests.items()
        }
        assert statuses == {"changed.jpg": 409, "gone.jpg": 409, "link.jpg": 404}


def test_it_refuses_to_be_open_to_others_and_wrong_settings(pictures):
    done = run("serve", pictures, "--host", "0.0.0.0", "--no-open")
    assert done.status == 2 and "VISITA_SERVE_TOKEN" in done.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_SERVE_PORTS", "1")
        done = run("serve", pictures, "--no-open")
    assert done.status == 2 and "Did you mean 'port'?" in done.err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", pictures, "--no-open", "--port", taken.getsockname()[1])
    assert done.status == 2 and "--port" in done.err
