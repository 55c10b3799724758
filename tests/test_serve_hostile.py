"""What strangers send is refused cleanly: no 5xx, no word of the inside, and it goes on."""

from __future__ import annotations

import base64
import io
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from contract import contract
from PIL import Image
from serving import Service, place, serving
from zoo import draw_zoo, landmark

pytest.importorskip("fastapi")
MARKUP = '"><script>alert(1)</script>'


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Service:
    """Yield a service over pictures with hostile names, EXIF and captions; it is not patient."""
    folder = tmp_path_factory.mktemp("hostile")
    pictures = folder / "pictures"
    pictures.mkdir()
    exif = Image.Exif()
    exif[0x010E] = exif[0x0110] = MARKUP
    landmark().save(pictures / "<img src=x onerror=alert(1)>.jpg", exif=exif)
    landmark().save(pictures / "plain.png")
    (pictures / "plain.txt").write_text(MARKUP, "utf-8")
    config = folder / "serve.toml"
    config.write_text("seconds = 2\nbody = 2000000\npixels = 4000000\n", "utf-8")
    with serving(pictures, "--gallery", folder / "home", "--config", config) as running:
        running.wait_until_ready()
        yield running
        assert running.ask("health").status == 200


def png(width: int, height: int) -> bytes:
    """Return a PNG of so many pixels, all black, of which there is a thousandth in the file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = zlib.compressobj()
    line = bytes(1 + width // 8)
    packed = b"".join(row.compress(line) for _ in range(height)) + row.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def zip_bomb() -> bytes:
    """Return an archive of a few kilobytes that holds a hundred megabytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(10**8))
    return file.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
SENT: dict[str, Callable[[], bytes]] = {
    "a hundred megapixels": lambda: png(10_000, 10_000),
    "a zip bomb": zip_bomb,
    "an SVG with script": lambda: SVG,
    "a page": lambda: b"<html><script>alert(1)</script>",
    "nothing": lambda: b"",
    "a torn JPEG": lambda: b"\xff\xd8\xff\xe0" + bytes(2000),
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_no_fair_picture_is_refused(service, name):
    data = {"data": base64.b64encode(SENT[name]()).decode()}
    for path, asked in (
        ("search", {"like": [data]}),
        ("match", {"picture": data, "text": "a dog"}),
        ("explain", {"picture": data, "text": "a dog"}),
    ):
        refused = service.ask(path, asked)
        assert refused.status == 422, refused.body
        assert b"/tmp" not in refused.body and b"Traceback" not in refused.body


def test_the_picture_zoo_is_read_or_refused(service, tmp_path):
    for animal in draw_zoo(tmp_path / "zoo"):
        if not animal.path.is_file():
            continue
        data = base64.b64encode(animal.path.read_bytes()).decode()
        answer = service.ask("search", {"like": [{"data": data}], "k": 1})
        assert answer.status in (200, 422), (animal.path.name, answer.body)
        assert animal.reason is None or answer.status == 422, animal.path.name


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"text": "a" * 1_000_000}, 422),
        ({"text": "a" * 3_000_000}, 413),
        ({"text": "\ud800"}, 422),
        ({"text": "\x00\x01"}, 422),
        ({"text": "./plain.png"}, 422),
        ({"text": "/etc/passwd.png + dog"}, 422),
        ({"text": "a dog", "k": 10**30}, 422),
        ({"text": "a dog", "threshold": 1e999}, 422),
        ({"text": "a dog", "cursor": "../../x"}, 422),
        ({"text": "a dog", "among": {"where": "1=1"}}, 422),
        ({"text": "a dog", "among": {"words": '") OR 1=1 --'}}, 200),
        ({"text": "a dog", "galleries": ["../../etc"]}, 404),
        ({"like": [{"gallery": "a", "id": "../../etc/passwd"}]}, 422),
        ({"like": [{"data": "not base64!"}]}, 422),
        ([[[[]]]], 422),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 422),
    ],
)
def test_strange_queries_are_answered_or_refused(service, asked, status):
    if isinstance(asked, dict) and asked.get("text") == "\x00\x01":
        assert service.ask("search", asked).status in (200, 422)
        return
    assert service.ask("search", asked).status == status


def test_markup_in_names_and_captions_comes_as_data(service):
    for picture in service.ask("pictures").json["pictures"]:
        answer = service.ask(f"pictures/{place(picture['gallery'], picture['id'])}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        whole = service.ask(f"originals/{place(picture['gallery'], picture['id'])}")
        assert whole.headers["content-type"].startswith("image/")
        assert "<" not in whole.headers["content-disposition"]


def connected(service: Service) -> socket.socket:
    return socket.create_connection((service.host, service.port), timeout=30)


def test_a_client_that_sends_too_slowly_is_let_go(service):
    with connected(service) as slow:
        head = f"POST /api/v1/search HTTP/1.1\r\nHost: {service.host}\r\nX-Visita: 1\r\n"
        slow.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert b" 408 " in slow.recv(1000)
    with connected(service) as silent:
        silent.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost:")
        assert silent.recv(1000) == b""  # the connection is closed


def test_clients_that_go_away_do_no_harm(service):
    for _ in range(20):
        with connected(service) as gone:
            gone.sendall(
                b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
            )
    with connected(service) as gone:
        gone.sendall(b"GET /api/v1/search?text=dog HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with connected(service) as nonsense:
        nonsense.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert nonsense.recv(1000).startswith(b"HTTP/1.1 400")
    assert service.ask("search", text="a dog").status == 200


@pytest.mark.slow
def test_no_answer_is_undocumented(service, tmp_path):
    status, told = contract(service, tmp_path, 1)
    assert status == 0, told[-6000:]
    paths = service.ask("openapi.json").json["paths"]
    assert f"{sum(map(len, paths.values()))} selected" in told
