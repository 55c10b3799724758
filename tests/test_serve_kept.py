"""What people told the service is kept, whatever happens to it."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import threading
from http.client import HTTPException
from pathlib import Path
from zipfile import ZipFile

import pytest
from serving import Service, serving

pytest.importorskip("fastapi")


@pytest.fixture(scope="module")
def pictures(drawn_folder, tmp_path_factory) -> Path:
    """Return six drawn pictures."""
    folder = tmp_path_factory.mktemp("kept") / "drawn"
    folder.mkdir()
    for number in range(6):
        shutil.copy(next(drawn_folder.glob(f"{number:05d}.[jp]*g")), folder)
    return folder


def named(service: Service, path: Path) -> dict[str, str]:
    """Return what a picture is called."""
    return {"gallery": service.gallery(), "id": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_what_was_answered_is_there_after_a_kill_under_load(pictures, tmp_path):
    first, second, *_ = sorted(pictures.iterdir())
    with serving(pictures, "--gallery", tmp_path) as service:
        service.wait_until_ready()
        mark = {**named(service, first), "text": "<b>a star</b>", "fits": True}
        assert service.ask("feedback", mark).json == mark
        assert service.ask("feedback", {**mark, "text": "a sun", "fits": False}).status == 200
        assert service.ask("feedback", {**mark, "text": "a sun", "fits": None}).status == 200
        assert service.ask("feedback", {**mark, "id": "0" * 64}).status == 404
        made = service.ask("collections", {"name": "=Front page\r\nX: 1"})
        assert made.status == 201
        where = f"collections/{made.json['id']}"
        both = [named(service, first), named(service, second)]
        assert service.ask(f"{where}/pictures", {"add": both}).json["size"] == 2
        assert service.ask(f"{where}/pictures", {"add": [mark]}).status == 422
        acknowledged = killed_under_load(service, named(service, first))
    second.unlink()
    token = "a-token-that-nobody-guesses"
    config = tmp_path / "serve.toml"
    config.write_text(f'token = "{token}"\nthreads = 2\n', "utf-8")
    with serving(pictures, "--gallery", tmp_path, "--config", config) as service:
        check_token(service, token)
        service.wait_until_ready()
        kept = service.ask("feedback").json["marks"]
        assert kept[0] == mark
        assert {each["text"] for each in kept} >= acknowledged
        assert {each["text"] for each in kept} - acknowledged <= {mark["text"], *LAST}
        check_collection(service, where, first, both)
        told = service.stop()
        assert service.process.returncode in (0, 130) and "Traceback" not in told


WORKERS = 4
LAST: set[str] = set()
"""What was sent and not answered, which may be kept or not."""


def killed_under_load(service: Service, name: dict[str, str]) -> set[str]:
    """Mark as fast as can be until the service is killed; return what was acknowledged."""
    acknowledged: set[str] = set()

    def mark(worker: int) -> None:
        for number in range(10_000):
            text = f"{worker} {number}"
            try:
                assert service.ask("feedback", {**name, "text": text, "fits": True}).status == 200
            except (OSError, HTTPException):
                LAST.add(text)
                return
            acknowledged.add(text)

    workers = [threading.Thread(target=mark, args=(number,)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    while len(acknowledged) < 40:
        assert service.process.poll() is None
    service.process.kill()
    for worker in workers:
        worker.join()
    return acknowledged


def check_token(service: Service, token: str) -> None:
    """See that nobody is answered without it."""
    bearer = {"Authorization": f"Bearer {token}"}
    assert service.ask("health").status == 200
    assert service.ask("galleries").status == 401
    assert service.ask("galleries", headers={"Authorization": "Bearer wrong"}).status == 401
    assert service.ask("galleries", headers=bearer).status == 200
    welcome = service.ask("/", token=token)
    assert welcome.status == 303 and "HttpOnly" in welcome.headers["set-cookie"]
    cookie = welcome.headers["set-cookie"].partition(";")[0]
    assert service.ask("galleries", headers={"Cookie": cookie}).status == 200
    service.headers |= bearer


def check_collection(service: Service, where: str, first: Path, both: list[dict[str, str]]) -> None:
    """See that a collection, of which one picture is gone, is exported, renamed and removed."""
    [kept] = service.ask("collections").json["collections"]
    assert kept["size"] == 2
    members = service.ask(where).json
    assert [p["path"] for p in members["pictures"]] == [str(first)]
    assert members["missing"] == both[1:]
    table = service.ask(f"{where}/export")
    rows = list(csv.DictReader(io.StringIO(table.body.decode("utf-8-sig"))))
    assert [row["path"] for row in rows] == [str(first)]
    assert "\r" not in table.headers["content-disposition"] and "x" not in table.headers
    archive = ZipFile(io.BytesIO(service.ask(f"{where}/export", **{"as": "zip"}).body))
    [name] = archive.namelist()
    assert archive.read(name) == first.read_bytes()
    renamed = service.ask(where, {"name": "Back page"}, method="PATCH").json
    assert renamed["name"] == "Back page"
    assert service.ask(f"{where}/pictures", {"remove": both[:1]}).json["size"] == 1
    assert service.ask(where, method="DELETE").status == 204
    assert service.ask(where).status == 404
