"""Where pictures lie: folders of this machine, and prefixes of buckets as in ``s3://bucket/prefix``.

What lies in a bucket has a name and no path: it can be shown and compared, and nothing opens it
but ``visita.data.buckets``.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Self, cast

S3 = "s3://"


class ObjectPath(PurePosixPath):
    """The name of a bucket, of a prefix or of an object, such as ``s3://bucket/a/b.jpg``."""

    def __str__(self) -> str:
        return super().__str__().replace("s3:/", S3, 1)

    def resolve(self) -> Self:
        """Return itself, as there are no links."""
        return self

    @property
    def bucket(self) -> str:
        """The bucket's name, empty if there is none."""
        return "".join(self.parts[1:2])

    @property
    def key(self) -> str:
        """What comes after the bucket."""
        return "/".join(self.parts[2:])


def in_bucket(place: Any) -> bool:
    """Tell whether a str or a path names something in a bucket."""
    return isinstance(place, ObjectPath) or str(place).startswith(S3)


def location(place: str | Path) -> Path:
    """Return what ``place`` names as a path; of a bucket an ``ObjectPath``, to be shown as one."""
    return cast(Path, ObjectPath(place)) if in_bucket(place) else Path(place)
