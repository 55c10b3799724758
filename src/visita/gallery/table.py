"""The table of a gallery's pictures: a row each, for filters and full text, in SQLite.

It is made from the catalogue and the metadata, and from nothing else, so it can be lost. A file
is never altered: its name has a checksum of its content and of what it was made from, so that a
reader needs no lock, notices any damage, and sees whether the table is of today.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from visita.data.pictures import printable
from visita.durable import checksum, checksum_of, draft_beside, sync_file, sync_folder
from visita.errors import UnwritableError
from visita.gallery import places
from visita.gallery.catalog import INDEX, Catalog
from visita.gallery.entries import Entry
from visita.gallery.metadata import (
    METADATA,
    WORDS,
    MetadataFile,
    Sources,
    described,
    keys_of,
    words_file,
)
from visita.progress import say_once
from visita.store.checkpoint import mark_of
from visita.store.lock import WriterLock

COLUMNS = {
    "path": "TEXT",
    "folder": "TEXT",
    "size": "INTEGER",
    "modified": "TEXT",
    "date": "TEXT",
    "utc_offset": "INTEGER",
    "camera": "TEXT",
    "lens": "TEXT",
    "latitude": "REAL",
    "longitude": "REAL",
    "width": "INTEGER",
    "height": "INTEGER",
    "title": "TEXT",
    "caption": "TEXT",
    "keywords": "TEXT",
    "rating": "INTEGER",
    "place": "TEXT",
    "words": "TEXT",
}
"""What there is of each picture, and its type in SQL. Keywords are one a line; ``words`` are those
in the picture, ``''`` where there are none."""
FULL_TEXT = ("title", "caption", "keywords", "folder", "place", "words")
"""The columns with words to be searched for."""
_NAME = "table.sqlite"
_LAYOUT = 3
_OF = "digest, described, mtime_ns"
_INTO_TEXT = f"rowid, {', '.join(FULL_TEXT)}"
_FROM_ROWS = f"id, {', '.join(FULL_TEXT)}"
_QUICK = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"
"""A draft needs no protection; 64 MB hold the parts of the indices that rows are added to."""
_SCHEMA = f"""
PRAGMA user_version = {_LAYOUT};
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY, raw BLOB NOT NULL, digest BLOB, described TEXT, mtime_ns INTEGER,
    {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())}, UNIQUE (path, raw));
CREATE INDEX by_date ON pictures (date);
CREATE INDEX by_digest ON pictures (digest);
CREATE VIRTUAL TABLE full_text USING fts5(
    {", ".join(FULL_TEXT)}, content='pictures', content_rowid='id',
    tokenize='unicode61 remove_diacritics 2');
"""
_MANY = 20
"""One in so many rows that are new: putting all into the full text anew is faster then."""
Key = tuple[str, bytes]
"""A path as UTF-8 can hold it, and as it is where that is another."""


class Since(NamedTuple):
    """Which paths may have changed since a gallery was such that a table ``made_from`` it fits."""

    made_from: str
    paths: Collection[str]


def is_in_step(place: Path) -> bool:
    """Tell whether there is a table made from what the gallery in ``place`` keeps now."""
    return any(_made(place, made_from(place)))


def _made(place: Path, source: str) -> Iterator[Path]:
    return place.glob(f"table-{source}-*.sqlite")


def made_from(place: Path) -> str:
    """Return what changes when a line is added to what it is made from, or that is written anew."""
    named = b"named" if places.is_installed() else b""
    marks = (mark_of(place / name) for name in (INDEX, METADATA, WORDS))
    return checksum(b"|".join([*marks, named]))


def write_table(
    place: Path, entries: Mapping[str, Entry], lock: WriterLock, since: Since | None = None
) -> list[str]:
    """Bring the table in step with the catalogue; return the paths that damage took metadata of.

    With ``since``, only what has changed is looked at, if there is still the table of before.

    Raises
    ------
    ArtifactError
        If the gallery was removed meanwhile.
    UnwritableError
        If the disk refuses.
    """
    source = made_from(place)
    fitting = since and next(filter(_is_sound, _made(place, since.made_from)), None)
    try:
        with draft_beside(place / _NAME) as folder:
            draft = folder / _NAME
            if base := fitting or _sound(place):
                shutil.copyfile(base, draft)
            with closing(sqlite3.connect(draft)) as connection:
                changed = since.paths if since and fitting else None
                lacking = _update(connection, place, entries, changed)
            sync_file(draft)
            lock.check()
            written = place / f"table-{source}-{checksum_of(draft)}.sqlite"
            draft.replace(written)
            sync_folder(place)
    except sqlite3.Error as error:
        raise UnwritableError(f"{place} cannot be written ({error}).", str(error)) from error
    for path in set(_tables(place)) - {written}:
        with suppress(OSError):  # Windows keeps what a reader has open
            path.unlink()
    return lacking


@contextmanager
def open_table(place: Path) -> Iterator[sqlite3.Connection]:
    """Lend the table as it is now; one that is not there, or of another day, is made in memory."""
    made = next(_made(place, made_from(place)), None)
    if made and (_was_sound(made) or _is_sound(made)):
        with closing(_opened(made)) as connection:
            yield connection
        return
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        if base := _sound(place):
            with closing(_opened(base)) as before:
                before.backup(connection)
        if lacking := _update(connection, place, Catalog(place).entries):
            say_once(f"{place / METADATA} is damaged: what {len(lacking):,} pictures say is lost")
        yield connection


def _opened(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
    connection.execute(f"PRAGMA mmap_size = {2**31}")  # rows by date lie all over it
    return connection


def _tables(place: Path) -> list[Path]:
    return sorted(place.glob("table-*.sqlite"))


def _sound(place: Path) -> Path | None:
    return next(filter(_is_sound, _tables(place)), None)


_Look = tuple[Path, int, int, int]
_found_sound: set[_Look] = set()
"""Tables that this process has read whole: each search reads a little of the same again."""


def _look(path: Path) -> _Look:
    status = path.stat()
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def _was_sound(path: Path) -> bool:
    with suppress(FileNotFoundError):  # a writer took it away, as there is a newer one
        return _look(path) in _found_sound
    return False


def _is_sound(path: Path) -> bool:
    """Tell whether a table is as it was written; if not, it is taken away where that can be."""
    try:
        look = _look(path)
        if checksum_of(path) == path.stem.rpartition("-")[2]:
            _found_sound.add(look)
            return True
    except FileNotFoundError:
        return False
    say_once(f"{path} is damaged: it is made again")
    with suppress(OSError):
        path.unlink()
    return False


def damaged_tables(place: Path) -> list[str]:
    """Return the names of tables that are not as they were written, which are taken away."""
    return [path.name for path in _tables(place) if not _is_sound(path)]


def _update(
    connection: sqlite3.Connection,
    place: Path,
    entries: Mapping[str, Entry],
    changed: Collection[str] | None = None,
) -> list[str]:
    """Make the rows those of the pictures that are there; return the paths lacking metadata.

    ``changed``: all that another row may be wanted of, where the layout is today's.
    """
    connection.executescript(_QUICK)
    whole = not _prepare(connection) or changed is None
    some = ((path, entries[path]) for path in changed or () if path in entries)
    looked_at = entries.items() if whole else some
    wanted = {key_of(path): (path, entry) for path, entry in looked_at if entry.is_there}
    known = _known(connection, None if whole else map(key_of, changed or ()))
    new = {key: of for key, of in wanted.items() if known.get(key) != _stamp(of[1])}
    gone = [key for key in known if key not in wanted or key in new]
    (count,) = connection.execute("SELECT count(*) FROM pictures").fetchone()
    few = _MANY * (len(new) + len(gone)) < count
    at = "FROM pictures WHERE path = ? AND raw = ?"
    if few:
        connection.executemany(
            f"INSERT INTO full_text (full_text, {_INTO_TEXT}) SELECT 'delete', {_FROM_ROWS} {at}",
            gone,
        )
    connection.executemany(f"DELETE {at}", gone)
    (last,) = connection.execute("SELECT ifnull(max(id), 0) FROM pictures").fetchone()
    keys = {key for _, e in new.values() for key in keys_of(e.digest, e.described or "")}
    sources = MetadataFile(place).read(keys) if keys else {}
    lacking: list[str] = []
    names = ("raw", *_OF.split(", "), *COLUMNS)
    marks = ", ".join(f":{name}" for name in names)
    connection.executemany(
        f"INSERT INTO pictures ({', '.join(names)}) VALUES ({marks})",
        (_row(key, *new[key], sources, lacking) for key in sorted(new)),
    )
    added = [*_add_words(connection, place), *_add_places(connection)]
    if few and all(row > last for row in added):
        connection.execute(
            f"INSERT INTO full_text ({_INTO_TEXT}) SELECT {_FROM_ROWS} FROM pictures WHERE id > ?",
            [last],
        )
    elif new or gone or added:
        connection.execute("INSERT INTO full_text (full_text) VALUES ('rebuild')")
    connection.commit()
    return lacking


def _known(connection: sqlite3.Connection, keys: Iterable[Key] | None) -> dict[Key, list[Any]]:
    """Return what tells whether a row has changed, by its key; of all rows unless given."""
    query = f"SELECT path, raw, {_OF} FROM pictures"
    one = f"{query} WHERE path = ? AND raw = ?"
    found = (
        [connection.execute(query)] if keys is None else (connection.execute(one, k) for k in keys)
    )
    return {(path, raw): of for path, raw, *of in chain.from_iterable(found)}


def _add_words(connection: sqlite3.Connection, place: Path) -> list[int]:
    """Add the words that were read in pictures; return the rows."""
    if not (place / WORDS).exists():
        return []
    unread = connection.execute("SELECT id, digest FROM pictures WHERE words IS NULL").fetchall()
    read = words_file(place).read({digest.hex() for _, digest in unread})
    found = [(read[d.hex()][0]["words"], row) for row, d in unread if d.hex() in read]
    connection.executemany("UPDATE pictures SET words = ? WHERE id = ?", found)
    return [row for _, row in found]


def _add_places(connection: sqlite3.Connection) -> list[int]:
    """Add what places are called, where that is known; return the rows."""
    if not places.is_installed():
        return []
    rows = connection.execute(
        "SELECT id, latitude, longitude FROM pictures WHERE latitude NOT NULL AND place IS NULL"
    ).fetchall()
    names = places.place_names([(north, east) for _, north, east in rows])
    found = [(name, row[0]) for name, row in zip(names, rows, strict=True)]
    connection.executemany("UPDATE pictures SET place = ? WHERE id = ?", found)
    return [row for _, row in found]


def _prepare(connection: sqlite3.Connection) -> bool:
    """Make the tables, unless they are there; those of another layout are dropped.

    Returns whether they were there.
    """
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if layout != _LAYOUT:
        gone = "".join(
            f"DROP TABLE IF EXISTS {name};" for name in ("words", "full_text", "pictures")
        )
        connection.executescript(f"{gone} {_SCHEMA}")
    return bool(layout == _LAYOUT)


def undescribed(connection: sqlite3.Connection) -> int:
    """Return how many pictures there are of which no metadata was read yet."""
    (count,) = connection.execute(
        "SELECT count(*) FROM pictures WHERE described IS NULL"
    ).fetchone()
    return int(count)


def key_of(path: str) -> Key:
    """Return what a picture's row goes by, of its path in the gallery."""
    plain = printable(path)
    return plain, b"" if plain == path else os.fsencode(path)


def path_of(plain: str, raw: bytes) -> str:
    """Return the path that a key is of."""
    return os.fsdecode(raw) if raw else plain


def _stamp(entry: Entry) -> list[Any]:
    return [bytes.fromhex(entry.digest), entry.described, entry.mtime_ns]


def _row(key: Key, path: str, entry: Entry, sources: Sources, lacking: list[str]) -> dict[str, Any]:
    stamp = entry.described
    known = described(sources, entry.digest, stamp) if stamp else {}
    if known is None:
        lacking.append(path)
        known, stamp = {}, None
    return {
        **dict.fromkeys(COLUMNS),
        **known,
        "keywords": "\n".join(known.get("keywords", ())) or None,
        "path": key[0],
        "raw": key[1],
        "folder": key[0].rpartition(os.sep)[0].replace(os.sep, "/"),
        "size": entry.size,
        "modified": _moment(entry.mtime_ns),
        "digest": bytes.fromhex(entry.digest),
        "described": stamp,
        "mtime_ns": entry.mtime_ns,
    }


def _moment(nanoseconds: int) -> str | None:
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()[:19]
    return None
