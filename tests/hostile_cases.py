"""140 things that a stranger may hand over in place of pairs, articles, settings and homes."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from functools import partial
from pathlib import Path

import pyarrow
from hostile import PAIRS, Case, Make
from hostile_files import (
    MEGABYTE,
    Content,
    both,
    columns,
    croissant,
    held,
    link,
    member,
    pair,
    repeated,
    rows,
    tar,
    text,
)


def checked(name: str, *words: str) -> tuple[str, ...]:
    return ("data", "check", f"{{}}/{name}", *words)


def tables() -> dict[str, Case]:
    paths = {
        "outside": "../../../../etc/passwd",
        "absolute": "/etc/passwd",
        "device": "/dev/zero",
        "memory": "/proc/self/mem",
        "home": "~root/.ssh/id_rsa",
        "address": "https://example.com/a.jpg",
        "file address": "file:///etc/passwd",
        "share": "\\\\server\\share\\a.jpg",
        "drive": "C:\\a.jpg",
        "zero byte": "a\0.jpg",
        "two lines": "a\nb.jpg",
        "a long name": "x" * 100_000,
        "deep": "a/" * 50_000 + "a.jpg",
        "itself": ".",
        "half a pair": "\ud83d.jpg",
    }
    made = {f"a picture that is {name}": rows(path) for name, path in paths.items()}
    made |= {
        "zero bytes": text("x.jsonl", b"\0" * MEGABYTE),
        "random bytes": text("x.jsonl", os.urandom(MEGABYTE)),
        "empty lines": text("x.jsonl", lambda: b"\n" * 12 * MEGABYTE),
        "lists": text("x.jsonl", lambda: b"[]\n" * MEGABYTE),
        "a deep list": text("x.jsonl", "[" * MEGABYTE),
        "a deep object": text("x.jsonl", '{"a":' * 200_000),
        "a large number": text("x.jsonl", '{"image": ' + "9" * 100_000 + "}"),
        "one long line": text(
            "x.jsonl", lambda: '{"image": "a.jpg", "text": "' + "x" * 20 * MEGABYTE
        ),
        "a list of texts": text("x.jsonl", json.dumps({"image": "a.jpg", "text": ["x"] * 300_000})),
        "other types": text(
            "x.jsonl", '{"image": 1, "text": {}}\n{"image": [], "text": null}\n{"image": "a.jpg"}'
        ),
    }
    cases = {f"JSON lines: {name}": Case(make, checked("x.jsonl")) for name, make in made.items()}
    made = {
        "an open quote": lambda: 'image,text\na.jpg,"' + "x\n" * 5 * MEGABYTE,
        "a cell of 10 MB": lambda: "image,text\na.jpg," + "x" * 10 * MEGABYTE,
        "3,000,000 commas": lambda: "image,text\na.jpg" + "," * 3 * MEGABYTE,
        "500,000 columns": lambda: ",".join(f"c{n}" for n in range(500_000)) + "\n",
        "300,000 rows": lambda: "image,text\n" + "no.jpg,x\n" * 300_000,
        "50,000 pictures that are not": lambda: (
            "image,text\n" + "".join(f"{n}.jpg,x\n" for n in range(50_000))
        ),
        "rows of commas": "image,text\n" + "a.jpg,b,c,d\n" * 200_000,
        "UTF-16": PAIRS.encode("utf-16"),
        "zero bytes": b"image,text\n\0\0\0",
        "returns alone": PAIRS.replace("\n", "\r"),
        "nothing": "",
        "no rows": "image,text\n",
        "a list spelt deep": "image,text\na.jpg,\"['" + "[" * 100_000 + '"\n',
        "control characters": PAIRS + "a.jpg,\x1b[31m\u202e\x07 red\n",
        "the same column twice": "image,image,text,text\na.jpg,b.jpg,x,y\n",
    }
    cases |= {
        f"CSV: {name}": Case(text("x.csv", content), checked("x.csv"))
        for name, content in made.items()
    }
    return cases


def json_files() -> dict[str, Case]:
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}
    said = {"image_id": 1, "caption": "x"}
    talk = [{"image": "a.jpg", "conversations": [{"from": "gpt"}, 1, {"from": [], "value": 1}]}]
    made: dict[str, str] = {
        "a deep list": "[" * MEGABYTE,
        "a deep object": '{"images": ' * 200_000,
        "lists in a list": lambda: "[" + "[]," * 7 * MEGABYTE + "[]]",
        "numbers in a list": lambda: "[" + "1.5," * 5 * MEGABYTE + "1]",
        "half": '[{"image": "a.jpg", "text": "x"',
        "a word": '"pairs"',
        "not a number": '[{"image": "a.jpg", "text": NaN}]',
        "COCO with one id twice": json.dumps(
            {"images": [*coco["images"], {"id": 1, "file_name": "b.jpg"}], "annotations": [said]}
        ),
        "COCO with odd ids": json.dumps(
            {"images": [{"id": [], "file_name": "a.jpg"}], "annotations": [said, 1, None]}
        ),
        "COCO with 200,000 captions": lambda: json.dumps({**coco, "annotations": [said] * 200_000}),
        "COCO that leads out": json.dumps(
            {"images": [{"id": 1, "file_name": "/etc/passwd"}], "annotations": [said]}
        ),
        "Karpathy's with odd types": json.dumps(
            {"images": [{"filename": 1, "split": [], "sentences": {}}, 1, {"sentences": [1]}]}
        ),
        "LLaVA's with odd types": json.dumps(talk),
    }
    cases = {
        f"JSON: {name}": Case(text("x.json", content), checked("x.json"))
        for name, content in made.items()
    }
    changed: dict[str, dict[str, object]] = {
        "a context to fetch": {"@context": "https://example.com/"},
        "3,000 record sets": {
            "recordSet": [
                {"@type": "cr:RecordSet", "@id": f"r{n}", "name": f"r{n}"} for n in range(3000)
            ]
        },
        "odd types": {"distribution": 1, "recordSet": "x"},
        "a table that leads out": {
            "distribution": [
                {
                    "@type": "cr:FileObject",
                    "@id": "t",
                    "name": "t",
                    "contentUrl": "../../../etc/passwd",
                    "encodingFormat": "text/csv",
                    "sha256": "0" * 64,
                }
            ]
        },
    }
    cases |= {
        f"Croissant: {name}": Case(croissant(**change), checked("x.json"))
        for name, change in changed.items()
    }
    return cases


def parquets() -> dict[str, Case]:
    many = 20 * MEGABYTE
    made = {
        "100,000,000 rows": repeated(100 * MEGABYTE),
        "a text of 1 MB 6,400 times": repeated(6400, times=MEGABYTE),
        "a text of 100 MB 64 times": repeated(64, times=100 * MEGABYTE),
        "a text of 300 MB": repeated(1, times=300 * MEGABYTE),
        "a list of 20,000,000 texts": columns(
            lambda: {"image": ["a.jpg"], "text": pyarrow.array([["x"] * many])}
        ),
        "numbers": columns(lambda: {"image": [1, 2], "text": [1.5, 2.5]}),
        "nulls": columns(lambda: {"image": pyarrow.nulls(1000), "text": pyarrow.nulls(1000)}),
        "a picture that leads out": held(lambda: {"bytes": None, "path": "../../etc/passwd"}),
        "bytes that are no picture": held(lambda: {"bytes": b"MZ", "path": "../../evil.exe"}),
        "a picture of 250 MB": held(lambda: {"bytes": bytes(250 * MEGABYTE), "path": "a.jpg"}),
        "10,000 columns": columns(lambda: {f"c{n}": [n] for n in range(10_000)}),
        "random bytes": text("x.parquet", os.urandom(MEGABYTE)),
        "its mark alone": text("x.parquet", b"PAR1PAR1"),
    }
    cases = {f"Parquet: {name}": Case(make, checked("x.parquet")) for name, make in made.items()}

    def cut(folder: Path) -> None:
        columns(lambda: {"image": ["a.jpg"] * 1000, "text": ["x"] * 1000})(folder)
        raw = (folder / "x.parquet").read_bytes()
        (folder / "x.parquet").write_bytes(raw[: len(raw) // 2] + raw[-100:])

    cases["Parquet: cut out of the middle"] = Case(cut, checked("x.parquet"))
    return cases


def archives() -> dict[str, Case]:
    picture = pair("p")[0][1]
    kinds = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}
    made: dict[str, Make] = {
        f"a {name}": tar(
            member("evil.jpg", type=kind, linkname="/etc/passwd"), member("evil.txt", b"x")
        )
        for name, kind in kinds.items()
    }
    made |= {
        "names that lead out": tar(
            member("../../evil.jpg", picture), member("../../evil.txt", b"x")
        ),
        "full names": tar(member("/tmp/evil.jpg", picture), member("/tmp/evil.txt", b"x")),
        "a header of 50 MB": tar(member("a.jpg", picture, pax_headers={"x": "y" * 50 * MEGABYTE})),
        "a text of 50 MB": tar(member("a.jpg", picture), member("a.txt", b"x" * 50 * MEGABYTE)),
        "deep notes": tar(member("a.jpg", picture), member("a.json", b"[" * 500_000)),
        "100,000 files": tar(*[member(f"{n}.txt", b"x") for n in range(100_000)]),
        "zero bytes": text("x.tar", lambda: b"\0" * 20 * MEGABYTE),
        "random bytes": text("x.tar", os.urandom(MEGABYTE)),
        "compressed zero bytes": text("x.tar", lambda: gzip.compress(bytes(300 * MEGABYTE))),
        "half": both(
            tar(*pair("a")),
            lambda folder: os.truncate(folder / "x.tar", 700),
        ),
        "a size that is not": both(
            tar(),
            lambda folder: (folder / "x.tar").write_bytes(
                (folder / "x.tar").read_bytes().replace(b"00000000005", b"77777777777")
            ),
        ),
    }
    cases = {f"tar: {name}": Case(make, checked("x.tar")) for name, make in made.items()}

    def bomb(folder: Path) -> None:
        for name in ("raw", "image_splits", "images"):
            (folder / name).mkdir()
        (folder / "raw" / "train.en.gz").write_bytes(gzip.compress(b"\n" * 500 * MEGABYTE))
        (folder / "image_splits" / "train.txt").write_text("a.jpg\n", "utf-8")

    cases["gzip: 500 MB of lines in 500 kB"] = Case(bomb, ("data", "check", "multi30k:{}"))
    return cases


def folders() -> dict[str, Case]:
    made: dict[str, Make] = {
        "a pipe as text": lambda folder: os.mkfifo(folder / "a.txt"),
        "a device as text": link("a.txt", "/dev/zero"),
        "a text of elsewhere": link("a.txt", "/etc/passwd"),
        "a device as picture": both(
            text("a.txt", "x"), text("c.txt", "x"), link("c.jpg", "/dev/zero")
        ),
        "a picture of elsewhere": both(
            text("a.txt", "x"), text("c.txt", "x"), link("c.jpg", "/etc/passwd")
        ),
        "a link to itself": both(text("a.txt", "x"), link("loop", ".")),
        "links in a ring": both(text("a.txt", "x"), link("one", "two"), link("two", "one")),
        "a folder of elsewhere": both(text("a.txt", "x"), link("etc", "/etc")),
        "a text of 20 MB": text("a.txt", lambda: "x y\n" * 5 * MEGABYTE),
    }
    return {
        f"folder: {name}": Case(make, ("data", "check", "folder:{}")) for name, make in made.items()
    }


def _filled(piece: str) -> str:
    return (piece * MEGABYTE)[:MEGABYTE]


def articles() -> dict[str, Case]:
    one = {
        "&": "&",
        "<": "<",
        "ends of sentences": """."')]""",
        "dots": ". ",
        "sentences of a letter": "a. ",
        "open tags": "<b ",
        "open quotes": '<a "',
        "comments": "<!--",
        "references": "&#x41",
        "large references": "&#99999999",
        "Chinese": "\u72d7",
        "signs that join": "e\u0301\u200d",
    }
    made: dict[str, Content] = {
        f"1 MB of {name}": partial(_filled, piece) for name, piece in one.items()
    }
    made |= {
        "as many signs as are read": "&" * 99_999,
        "30 MB": lambda: "a dog. " * 5 * MEGABYTE,
        "zero bytes": "\0" * 1000,
        "nothing": " \n ",
    }
    return {
        f"article: {name}": Case(text("x.html", content), RECOMMEND)
        for name, content in made.items()
    }


RECOMMEND = ("recommend", "{}/x.html", "{}", "--exclude", "x.*")
ORDINARY = Case(text("x.html", "A dog runs."), RECOMMEND)


def settings() -> dict[str, Case]:
    train = ("train", "fusion", "--data", "{}", "--out", "{}/out")
    made = {
        "a deep list": "a = " + "[" * MEGABYTE,
        "a key of 100,000 parts": ".".join("a" * 100_000) + " = 1",
        "60,000 keys": lambda: "".join(f"k{n}.a = 1\n" for n in range(60_000)),
        "100,000 tables": lambda: "".join(f"[a{n}]\n" for n in range(100_000)),
        "a number of 100,000 digits": "seed = " + "9" * 100_000,
        "2 MB": lambda: "# " + "x" * 2 * MEGABYTE,
        "a seed below zero": "seed = -1",
        "no number": "learning_rate = nan",
        "infinity": "weight_decay = inf",
    }
    cases = {
        f"TOML: {name}": Case(text("x.toml", content), (*train, "--config", "{}/x.toml"))
        for name, content in made.items()
    }
    given = {
        "a seed below zero": "seed=-1",
        "a large seed": "seed=99999999999999999999",
        "a deep list": "seed=" + "[" * 50_000,
        "a deep key": "a." * 50_000 + "a=1",
        "infinity": "weight_decay=Infinity",
        "nothing": "=",
    }
    nothing = text("none", "")
    cases |= {
        f"--set: {name}": Case(nothing, (*train, "--set", value)) for name, value in given.items()
    }
    cases |= {
        "--seed -1": Case(
            text("x.csv", PAIRS),
            ("data", "articles", "{}/x.csv", "--noise", "0", "--out", "{}/o.jsonl", "--seed", "-1"),
        ),
        "--config /dev/zero": Case(nothing, (*train, "--config", "/dev/zero")),
        "--topic-corpus /dev/zero": Case(
            text("x.csv", PAIRS),
            (
                "train",
                "fusion",
                "--data",
                "{}/x.csv",
                "--out",
                "{}/out",
                "--preset",
                "paper",
                "--topic-corpus",
                "/dev/zero",
            ),
        ),
        "--data /dev/zero": Case(nothing, ("data", "check", "table:/dev/zero")),
        "--root /dev/zero": Case(text("x.csv", PAIRS), checked("x.csv", "--root", "/dev/zero")),
        "an article of /dev/zero": Case(nothing, ("recommend", "/dev/zero", "{}")),
        "captions of /dev/zero": Case(
            nothing, ("caption", "{}/a.jpg", "--texts", "table:/dev/zero")
        ),
    }
    return cases


def homes() -> dict[str, Case]:
    named = {
        "of no user": "~nosuchuser/x",
        "a file": "{}/a.jpg",
        "below a file": "{}/a.jpg/x",
        "a device": "/dev/null",
        "below a device": "/dev/null/x",
        "a long name": "x" * 5000,
        "a link to itself": "{}/loop",
        "two lines": "{}/a\nb",
    }
    words = ("gallery", "list")
    return {
        f"VISITA_HOME: {name}": Case(link("loop", "loop"), words, {"VISITA_HOME": value})
        for name, value in named.items()
    }


CASES: dict[str, Case] = {
    **tables(),
    **json_files(),
    **parquets(),
    **archives(),
    **folders(),
    **articles(),
    **settings(),
    **homes(),
}
