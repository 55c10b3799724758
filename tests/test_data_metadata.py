"""What is written about a picture, by Pillow and by hand, and what strangers make of it."""

from __future__ import annotations

import json
import os
import random
import warnings
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from written import at, bag, exif, iptc, save, xmp

from visita.data.metadata import columns
from visita.data.metadata.beside import read_beside
from visita.data.metadata.columns import CAPTION, MOST_KEYWORDS, NOTHING, Metadata, merged
from visita.data.metadata.embedded import read_embedded
from visita.data.metadata.xmp import MOST_BYTES, read_xmp
from visita.errors import PassingError

FULL = exif(
    {0x010E: "a dog", 0x010F: "Canon", 0x0110: "Canon EOS R5", 0x4746: 4, 0x0112: 6},
    {0x9003: "2024:05:01 10:20:30", 0x9011: "+02:00", 0xA434: "RF 50mm"},
    at(-33.8568, 151.2153),
)


def test_what_a_camera_writes_is_read(tmp_path):
    for suffix in ("jpg", "webp", "png"):
        path = save(tmp_path / f"a.{suffix}", exif=FULL)
        found = read_embedded(path).to_dict()
        assert found.pop("latitude") == pytest.approx(-33.8568, abs=1e-6)
        assert found.pop("longitude") == pytest.approx(151.2153, abs=1e-6)
        assert found == {
            "date": "2024-05-01T10:20:30",
            "utc_offset": 120,
            "camera": "Canon EOS R5",
            "lens": "RF 50mm",
            "width": 16,
            "height": 24,
            "caption": "a dog",
            "rating": 4,
        }, suffix


def test_a_tiff_says_what_it_is_of(tmp_path):
    found = read_embedded(save(tmp_path / "a.tif", exif=exif({0x010E: "a dog", 0x0110: "Scan 3"})))
    assert (found.caption, found.camera, found.width) == ("a dog", "Scan 3", 24)


def test_xmp_counts_more_than_iptc_and_that_more_than_a_chunk(tmp_path):
    words = iptc(f5=b"a title", f120="caf\u00e9".encode(), f25=[b"dog", b"beach"], f55=b"20200102")
    found = read_embedded(save(tmp_path / "a.jpg", iptc=words))
    assert (found.title, found.caption, found.keywords) == (
        "a title",
        "caf\u00e9",
        ("dog", "beach"),
    )
    assert found.date == "2020-01-02"
    packet = xmp('xmp:Rating="5"', bag("cat"))
    found = read_embedded(save(tmp_path / "b.jpg", iptc=words, xmp=packet))
    assert (found.title, found.keywords, found.rating) == ("a title", ("cat",), 5)
    said = PngImagePlugin.PngInfo()
    said.add_text("Title", "a chunk")
    said.add_itxt("Description", "\u732b")
    found = read_embedded(save(tmp_path / "c.png", pnginfo=said))
    assert (found.title, found.caption) == ("a chunk", "\u732b")


def test_each_form_of_xmp_is_read():
    place = 'exif:GPSLatitude="48,51.5N" exif:GPSLongitude="2,21,7.2W" xmp:CreateDate="2021-03"'
    title = (
        '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Tom &amp; Jo</rdf:li></rdf:Alt></dc:title>'
    )
    found = read_xmp(xmp(place, f"{title}<xmp:Rating>-1</xmp:Rating>"))
    assert found.latitude == pytest.approx(48 + 51.5 / 60)
    assert found.longitude == pytest.approx(-(2 + 21 / 60 + 7.2 / 3600))
    assert (found.date, found.title, found.rating) == ("2021-03", "Tom & Jo", -1)
    assert read_xmp(xmp(place).decode().encode("utf-16")) == read_xmp(xmp(place))


def test_what_lies_beside_counts_more_but_for_what_was_exported(tmp_path):
    sidecar, words, takeout = (tmp_path / f"a.jpg.{end}" for end in ("xmp", "txt", "json"))
    sidecar.write_bytes(xmp("", bag("from xmp")))
    words.write_text("  two\n lines ", "utf-8")
    takeout.write_text(
        json.dumps(
            {
                "title": "IMG_1.jpg",
                "description": "from Takeout",
                "photoTakenTime": {"timestamp": "1500000000"},
                "geoData": {"latitude": 1.5, "longitude": 2.5},
            }
        ),
        "utf-8",
    )
    more, less = read_beside([sidecar, words, takeout])
    assert more == Metadata(keywords=("from xmp",), caption="two lines")
    assert (less.title, less.caption, less.date) == (None, "from Takeout", "2017-07-14T02:40:00")
    own = Metadata(date="2017-07-14T04:40:00", utc_offset=120, keywords=("own",))
    known = merged([more, own, less])
    assert (known.date, known.utc_offset, known.latitude) == (own.date, 120, 1.5)
    assert (known.keywords, known.caption) == (("from xmp",), "two lines")


def test_plain_names_in_json_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"title": "t", "tags": "a, b,", "date": "2020", "rating": "3"}), "utf-8"
    )
    _, found = read_beside([path])
    assert found == Metadata(title="t", keywords=("a", "b"), date="2020", rating=3)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024:05:01 10:20:30", "2024-05-01T10:20:30"),
        ("2024-05-01T10:20:30.123+02:00", "2024-05-01T10:20:30"),
        ("20240501T102030Z", "2024-05-01T10:20:30"),
        ("2024-05-01 10:20", "2024-05-01T10:20:00"),
        ("2024-05", "2024-05"),
        ("0000:00:00 00:00:00", None),
        ("2024:13:01", None),
        ("2024-02-30", None),
        ("yesterday", None),
        (20240501, None),
    ],
)
def test_dates_are_read_as_far_as_they_go(written, meant):
    assert columns.date(written).get("date") == meant


def test_what_is_no_value_is_nothing():
    assert columns.place(91, 0) == columns.place(0, 0) == columns.place("x", 1) == {}
    assert columns.place("nan", 1) == {}
    assert columns.rating(9) is columns.rating("five") is None
    assert columns.camera("NIKON CORPORATION", "NIKON D90") == "NIKON D90"
    assert columns.camera("Apple", "iPhone 12") == "Apple iPhone 12"
    assert columns.text("a\x1b[31m\x00b\ud800\n c") == "a [31m b c"
    assert columns.moment(1e300) == columns.moment(-(10**11)) == {}


def test_long_texts_and_many_keywords_are_cut(tmp_path):
    path = save(tmp_path / "a.jpg", exif=exif({0x010E: "x" * 50_000}))
    assert len(read_embedded(path).caption) == CAPTION
    assert len(read_xmp(xmp("", bag(*map(str, range(500))))).keywords) == MOST_KEYWORDS


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'.encode("utf-16"),
        b"<dc:subject>" * 80_000,
        xmp("", "<a>" * 30_000 + "</a>" * 30_000),
        xmp("", bag(*["w"] * 200_000)),
        b"\x00" * 1000,
        b"<x",
        b"",
    ],
)
def test_hostile_xmp_says_nothing_or_little(packet):
    assert read_xmp(packet) in (NOTHING, Metadata(keywords=("w",)))


def test_hostile_files_beside_say_nothing(tmp_path):
    hostile = {
        "a.json": b"[" * 100_000,
        "b.json": b'{"title": ' + b"9" * 5000 + b"}",
        "c.json": json.dumps(
            {"photoTakenTime": {"timestamp": []}, "geoData": 7, "tags": {}}
        ).encode(),
        "d.xmp": b"x" * (MOST_BYTES + 1),
        "e.txt": b"\x00\x01\x02",
    }
    for name, content in hostile.items():
        (tmp_path / name).write_bytes(content)
        assert read_beside([tmp_path / name]) == (NOTHING, NOTHING), name
    os.mkfifo(tmp_path / "f.xmp")
    assert read_beside([tmp_path / "f.xmp"]) == (NOTHING, NOTHING)
    with pytest.raises(PassingError):
        read_beside([tmp_path / "gone.xmp"])


def test_a_damaged_header_costs_what_it_says_and_no_more(tmp_path):
    words = iptc(f5=b"a title", f25=[b"dog"])
    packet = xmp('xmp:Rating="5"', bag("cat"))
    whole = save(tmp_path / "a.jpg", exif=FULL, iptc=words, xmp=packet).read_bytes()
    rng, damaged = random.Random(0), tmp_path / "b.jpg"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(300):
            content = bytearray(whole)
            for _ in range(rng.randint(1, 8)):
                content[rng.randrange(min(len(content), 1500))] = rng.randrange(256)
            damaged.write_bytes(content[: rng.choice([len(content), rng.randrange(len(content))])])
            found = read_embedded(damaged)
            assert Metadata.of(json.loads(json.dumps(found.to_dict()))) == found
            assert all(word.isprintable() for word in found.keywords)


def test_a_size_is_what_is_shown(tmp_path):
    path = save(tmp_path / "a.jpg", size=(30, 20))
    assert (read_embedded(path).width, read_embedded(path).height) == (30, 20)
    turned = save(tmp_path / "b.jpg", size=(30, 20), exif=exif({0x0112: 8}))
    assert (read_embedded(turned).width, read_embedded(turned).height) == (20, 30)


def test_a_file_that_is_gone_is_tried_again_and_one_that_is_no_picture_says_nothing(tmp_path):
    with pytest.raises(PassingError):
        read_embedded(tmp_path / "gone.jpg")
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    assert read_embedded(tmp_path / "no.jpg") == NOTHING


def test_pillow_reads_the_same(tmp_path):
    path = save(tmp_path / "a.jpg", exif=FULL)
    with Image.open(Path(path)) as picture:
        entries = picture.getexif()
        assert entries[0x0110] == read_embedded(path).camera
        assert entries.get_ifd(0x8769)[0xA434] == read_embedded(path).lens
