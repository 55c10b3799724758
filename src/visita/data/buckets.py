"""Object storage that speaks S3: what lies below a prefix, and files that come and go.

boto3 finds credentials, region and endpoint where every tool of AWS does: ``AWS_PROFILE``,
``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` and so on.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, cast

from visita.data.files import LIMIT
from visita.data.locations import ObjectPath, location
from visita.data.pictures import (
    BESIDE,
    EXPORTED,
    BesideFile,
    Exclusion,
    Found,
    PictureFile,
    is_left_out,
    is_picture_name,
    printable,
    unread_kind,
)
from visita.errors import DataError, PassingError, extras_named
from visita.types import Skipped

MOST_BYTES = 512 * 2**20
"""Of an object that is read, as of a file; see ``visita.data.decode``."""
_LONGEST = 255
"""Bytes of a name that a file can have."""
_ALTERED = {"PreconditionFailed", "NoSuchKey", "412", "404"}
_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"}


@dataclass(frozen=True, slots=True)
class ObjectFile(PictureFile):
    """An object that is named like a picture; ``inode`` is a number made from its tag."""

    etag: str = ""


@cache
def _client() -> Any:
    with extras_named("object storage"):
        import boto3  # noqa: PLC0415  an extra
        from botocore.config import Config  # noqa: PLC0415
    patience = {"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 3}}
    return boto3.Session().client("s3", config=Config(**patience))


@contextmanager
def _faults_named(place: ObjectPath) -> Iterator[None]:
    """Within the block, name the cause of what boto3 raises; nothing that is kept is lost by it.

    Raises
    ------
    PassingError
        If an object is another than it was, or there no more.
    DataError
        If the bucket cannot be used.
    """
    with extras_named("object storage"):
        from boto3.exceptions import S3UploadFailedError  # noqa: PLC0415
        from botocore import exceptions  # noqa: PLC0415  an extra
    name = printable(str(place))
    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise DataError(
            f"There are no credentials to read {name} with: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        ) from error
    except (exceptions.ClientError, S3UploadFailedError) as error:
        fault = error if isinstance(error, exceptions.ClientError) else error.__context__
        code = getattr(fault, "response", {}).get("Error", {}).get("Code", "")
        if code == "NoSuchBucket":
            raise DataError(f"There is no bucket {place.bucket!r}, of {name}.") from error
        if code in _ALTERED:
            raise PassingError("changed or disappeared while it was read") from error
        if code in _REFUSED:
            raise DataError(f"{name} is refused to these credentials ({code}).") from error
        raise DataError(f"{name} cannot be used: {fault}.") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise DataError(f"{name} cannot be reached ({error}): connect, and try again.") from error
    except exceptions.BotoCoreError as error:
        raise DataError(f"{name} cannot be used: {error}.") from error


def find_objects(folder: ObjectPath, exclude: Iterable[str] = ()) -> Found:
    """Return the objects below a prefix that are named like pictures, as ``find_pictures`` does.

    A name that no file can have, as it holds ``..`` or nothing between two slashes, is skipped.

    Raises
    ------
    DataError
        If the bucket cannot be listed to its end; the message says why.
    MissingExtraError
        If boto3 is not installed.
    """
    listing = _Listing(folder, Exclusion(exclude, cast(Path, folder)))
    for each in _listed(folder):
        listing.note(each)
    return listing.found()


def _listed(folder: ObjectPath) -> Iterator[dict[str, Any]]:
    prefix = f"{folder.key}/" if folder.key else ""
    with _faults_named(folder):
        pages = _client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=folder.bucket, Prefix=prefix):
            yield from page.get("Contents", ())


class _Listing:
    def __init__(self, folder: ObjectPath, excluded: Exclusion) -> None:
        self._folder = folder
        self._start = len(folder.key) + 1 if folder.key else 0
        self._excluded = excluded
        self._pictures: dict[str, dict[str, Any]] = {}
        self._beside: dict[str, list[BesideFile]] = {}
        self._skipped: list[Skipped] = []
        self._other_kinds: Counter[str] = Counter()
        self._left_out: set[tuple[str, ...]] = set()

    def note(self, item: dict[str, Any]) -> None:
        """Take in one object of the bucket."""
        path = item["Key"][self._start :]
        *folders, name = path.split("/")
        if not all(map(_is_possible, (*folders, name))):
            self._refuse(name, item["Key"], "has a name that no file can have")
        elif left_out := [row for row, part in enumerate(folders) if is_left_out(part)]:
            self._left_out.add(tuple(folders[: left_out[0] + 1]))
        elif self._is_hidden(path):
            return
        elif is_picture_name(name):
            self._note_picture(path, item)
        elif name.lower().endswith(BESIDE) and item["Size"] <= LIMIT:
            named = path[: path.rfind(".")].removesuffix(EXPORTED)
            beside = BesideFile(f"{self._folder}/{path}", item["Size"], _changed(item))
            self._beside.setdefault(named, []).append(beside)
        elif kind := unread_kind(name):
            self._other_kinds[kind] += 1

    def _is_hidden(self, path: str) -> bool:
        is_dotted = any(part.startswith(".") for part in path.split("/"))
        return is_dotted or (bool(self._excluded) and self._excluded.hides(path))

    def _note_picture(self, path: str, item: dict[str, Any]) -> None:
        if item["Size"] > MOST_BYTES:
            self._refuse(path, item["Key"], f"holds more than {MOST_BYTES // 2**20} MB")
        else:
            self._pictures[path] = item

    def _refuse(self, name: str, key: str, reason: str) -> None:
        if is_picture_name(name):
            uri = f"s3://{self._folder.bucket}/{key}"
            self._skipped.append(Skipped(printable(uri), reason))

    def found(self) -> Found:
        """Return all that was noted."""
        pictures = [self._file(path, item) for path, item in sorted(self._pictures.items())]
        left_out = Counter(printable(folders[-1]) for folders in self._left_out)
        unmatched = self._excluded.unmatched()
        return Found(pictures, self._skipped, self._other_kinds, left_out, unmatched)

    def _file(self, path: str, item: dict[str, Any]) -> PictureFile:
        beside = (*self._beside.get(path, ()), *self._beside.get(path[: path.rfind(".")], ()))
        tag = str(item["ETag"])
        number = int(hashlib.sha256(tag.encode()).hexdigest()[:15], 16)
        name = str(location(f"{self._folder}/{path}"))
        return ObjectFile(
            name, item["Size"], _changed(item), number, tuple(sorted(beside)), etag=tag
        )


def _is_possible(part: str) -> bool:
    return (
        part not in ("", ".", "..")
        and "\0" not in part
        and len(part.encode("utf-8", "surrogatepass")) <= _LONGEST
    )


def _changed(item: dict[str, Any]) -> int:
    return int(item["LastModified"].timestamp()) * 10**9


def fetch(file: PictureFile, folder: Path) -> PictureFile:
    """Copy an object, and what lies beside it, to files in ``folder`` and return the copy.

    Raises
    ------
    PassingError
        If it is no longer what it was when it was listed.
    DataError
        If the bucket cannot be used.
    """
    tag = file.etag if isinstance(file, ObjectFile) else ""
    copy = _fetched(file.name, folder, file.size, IfMatch=tag)
    beside = [
        BesideFile(str(_fetched(each.path, folder, each.size)), each.size, each.mtime_ns)
        for each in file.beside
    ]
    status = copy.stat()
    return PictureFile(str(copy), status.st_size, status.st_mtime_ns, status.st_ino, tuple(beside))


def _fetched(uri: str, folder: Path, size: int, **asked: str) -> Path:
    place = ObjectPath(uri)
    copy = folder / PurePosixPath(place.key).name
    with _faults_named(place), copy.open("wb") as out:
        answer = _client().get_object(Bucket=place.bucket, Key=place.key, **asked)
        if answer["ContentLength"] > size:
            raise PassingError("changed or disappeared while it was read")
        shutil.copyfileobj(answer["Body"], out)
    return copy


@contextmanager
def downloaded(place: ObjectPath) -> Iterator[Path]:
    """Lend a copy of an object, deleted at the end.

    Raises
    ------
    DataError
        If there is none, or the bucket cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="visita-") as folder:
        copy = Path(folder) / "copy"
        try:
            with _faults_named(place):
                _client().download_file(place.bucket, place.key, str(copy))
        except PassingError as error:
            raise DataError(f"There is no object {printable(str(place))}.") from error
        yield copy


def upload(file: Path, place: ObjectPath) -> None:
    """Write a file to an object: others see the old one or the whole new one.

    Raises
    ------
    DataError
        If the bucket cannot be used.
    """
    with _faults_named(place):
        _client().upload_file(str(file), place.bucket, place.key)
