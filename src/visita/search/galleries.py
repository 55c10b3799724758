"""Galleries that are searched with one matcher, by a text or by a picture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack
from weakref import WeakValueDictionary

from PIL.Image import Image

from visita.arguments import expect, listed
from visita.brief import counted
from visita.data.thumbnails import cards
from visita.errors import ConfigError, DataError, MismatchError
from visita.gallery.gallery import StoredGallery
from visita.gallery.mentions import Fields
from visita.gallery.reading import read_here
from visita.gallery.snapshot import Snapshot
from visita.gallery.sync import SyncReport
from visita.matchers import DEFAULT
from visita.progress import bar
from visita.search.algebra import Term, terms_of
from visita.search.exact import in_quotes, search_exactly
from visita.search.finder import Finder, finder_of
from visita.search.matches import Match, Matches
from visita.search.query import Query
from visita.search.search import Sort, search
from visita.types import Matcher
from visita.vectors import unit

if TYPE_CHECKING:
    from visita.gallery.filter import Filter
    from visita.gallery.ocr import WordsReport


class Options(TypedDict, total=False):
    """What ``find`` and ``find_like`` take by keyword."""

    threshold: float | None
    where: Filter | None
    sort: Sort
    group: bool


class Gallery:
    """The pictures of one folder, searched with one matcher; see ``open``.

    Its ``len`` is the number of pictures, and iterating gives their paths.

    Examples
    --------
    >>> gallery = visita.Gallery.open("mypairs")
    >>> report = gallery.sync()
    >>> len(gallery)
    40
    >>> [match.path.name for match in gallery.search_like("mypairs/00003.png", k=1)]
    ['00003.png']
    """

    def __init__(self, gallery: StoredGallery, finder: Finder) -> None:
        self.stored = gallery
        self.finder = finder
        self._exclude: tuple[str, ...] = ()
        self._whole = False
        self._snapshot: Snapshot | None = None
        self._passing: WeakValueDictionary[Filter, Snapshot] = WeakValueDictionary()
        self._latest: Snapshot | None = None

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        matcher: Finder | Matcher | str | Path = DEFAULT,
        home: str | Path | None = None,
    ) -> Gallery:
        """Return the gallery of a folder; ``sync`` reads the pictures.

        ``home`` is where galleries are kept: ``$VISITA_HOME`` or the user's data directory.

        Raises
        ------
        DataError
            If there is no such folder.
        UnknownNameError
            If there is no such matcher.
        """
        expect(folder, (str, os.PathLike), "A gallery is of a folder, a str or a Path")
        finder = finder_of(matcher)
        return cls(StoredGallery.open(folder, home=home), finder)

    def sync(self, *, exclude: Iterable[str] = (), ray: bool = False) -> SyncReport:
        """Update the gallery from its folder; only what changed is computed.

        Waits while another process does so. Excluded pictures are kept, and not searched.
        With ``ray``, pictures are read on a Ray cluster: that of ``$RAY_ADDRESS``, or one started
        on this machine.

        Raises
        ------
        DataError
            If the folder has no pictures, or none that can be read.
        MissingExtraError
            If ray is not installed.
        """
        from visita.gallery.on_ray import read_on_ray  # noqa: PLC0415  few need it

        patterns = listed(exclude, str, "exclude is a list of patterns")
        self._snapshot, self._exclude = None, tuple(patterns)
        self._passing.clear()
        matcher, encoder = self.finder.matcher, self.finder.pictures
        read = read_on_ray if ray else read_here
        return self.stored.sync(matcher, encoder, exclude=self._exclude, progress=bar, read=read)

    def refresh(self, *, exclude: Iterable[str] = (), tabled: bool = False) -> SyncReport:
        """Update the gallery as far as is possible at once, before a search.

        As ``sync``, but what is new stays unread, and one line on stderr says why, while another
        process is writing or where nothing can be written. What is written about pictures that
        are known is read only if it is asked for (``tabled``), for a filter.

        Raises
        ------
        DataError
            If the folder has no pictures, or none that can be read.
        """
        self._exclude = tuple(exclude)
        self._passing.clear()
        report, self._snapshot = self.stored.refresh(
            self.finder.matcher,
            self.finder.pictures,
            exclude=self._exclude,
            progress=bar,
            whole=self._whole,
            tabled=tabled,
        )
        return report

    def read_words(self) -> WordsReport:
        """Read the words in pictures that were not read yet, which takes about a second each.

        ``Filter(text=…)`` and ``"words in quotes"`` find them then. It goes on where it was, and
        others may search and write meanwhile.

        Raises
        ------
        MissingExtraError
            If rapidocr is not installed.
        """
        from visita.data.metadata.words import WordReader  # noqa: PLC0415  an extra
        from visita.gallery.ocr import read_words  # noqa: PLC0415

        self._passing.clear()
        return read_words(self.stored.path, self.stored.folder, WordReader(), bar)

    def mend(self) -> None:
        """Check everything and repair what is damaged; a search does that where it has to."""
        self._whole = True
        self.refresh(exclude=self._exclude)

    @property
    def folder(self) -> Path:
        """Where the pictures are, absolute and without links."""
        return self.stored.folder

    def __len__(self) -> int:
        """Return how many pictures there are; raises as ``snapshot``."""
        return len(self.snapshot)

    def __iter__(self) -> Iterator[Path]:
        """Yield the pictures' files; raises as ``snapshot``."""
        return iter(self.snapshot)

    def __bool__(self) -> bool:
        return True  # whether or not it was synchronized

    def __repr__(self) -> str:
        """Return the folder, how many pictures there are if that is read, and the matcher."""
        count = f"{counted(len(self), 'picture')}, " if self._snapshot is not None else ""
        return f"<Gallery {self.stored}: {count}{self.finder.matcher!r}>"

    def _repr_html_(self) -> str:
        try:
            pictures = [(path, ()) for path in self]
        except DataError as error:
            return cards(str(error), [])
        return cards(repr(self), pictures)

    @property
    def snapshot(self) -> Snapshot:
        """What was known of the folder at the last ``sync`` or ``refresh``.

        Raises
        ------
        DataError
            If it was never synchronized with this matcher.
        """
        if self._snapshot is None:
            self._snapshot = self.stored.snapshot(
                self.finder.matcher.fingerprint(), exclude=self._exclude, whole=self._whole
            )
        return self._snapshot

    def passing(self, where: Filter) -> Snapshot:
        """Return the pictures of ``snapshot`` that pass a filter, with their dates.

        They are found once as long as somebody has them, and the latest are kept: several threads
        may ask, each with another filter.

        Raises
        ------
        ConfigError
            If the filter cannot be used.
        DataError
            If it was never synchronized with this matcher.
        """
        found = self._passing.get(where)
        if found is None:
            found = self._passing[where] = self.stored.passing(self.snapshot, where)
        self._latest = found
        return found

    def mentions(self, snapshot: Snapshot, words: Iterable[str]) -> Mapping[int, Fields]:
        """Return what is written of the pictures with any of some words, by row of a snapshot."""
        return self.stored.mentions(snapshot, words)

    def search(
        self, text: str | Sequence[Term], k: int = 10, **options: Unpack[Options]
    ) -> Matches[Match]:
        """Return the k best pictures for a text, each with a probability; see ``find``."""
        return find([self], text, k, **options)

    def search_like(
        self, picture: Image | str | Path, k: int = 10, **options: Unpack[Options]
    ) -> Matches[Match]:
        """Return the k pictures most similar to a picture; see ``find_like``."""
        return find_like([self], picture, k, **options)


def find(
    galleries: Sequence[Gallery],
    text: str | Sequence[Term],
    k: int = 10,
    *,
    threshold: float | None = None,
    where: Filter | None = None,
    sort: Sort = "relevance",
    group: bool = False,
) -> Matches[Match]:
    """Return the k best pictures of all galleries, which share one matcher, for a text.

    A text of several sentences is searched with each, as far as they agree. A matcher of two
    stages re-ranks the best 50, whatever k is; the rest comes after them.
    ``threshold`` leaves out what has a lower probability. "beach -dog", "a street without cars"
    and the like exclude, see ``visita.search.search``. "2*golden retriever + grass - fruit" is a
    sum, as is a list of ``Term``: its scores are similarities, as in ``find_like``. As texts come
    from strangers too, none reads a file here: ``terms_of`` makes terms of one that names
    pictures. Pictures with the words that are in quotes come first, see ``visita.search.exact``;
    of words in quotes alone, only these. ``where`` is what to search among, as if there were no
    other pictures. ``sort="date"`` returns the newest of what reaches the threshold, or else a
    probability of 0.5. ``group`` puts pictures that are nearly the same together.

    Raises
    ------
    DataError
        If the text is empty, names a file, is a sum that cannot be understood or a gallery was
        never synchronized.
    PictureError
        If a picture of a sum cannot be decoded.
    MismatchError
        If the galleries do not share one matcher.
    ConfigError
        If there is no gallery, k or ``threshold`` is out of range, or a filter cannot be used.

    Examples
    --------
    >>> galleries = [visita.Gallery.open("mypairs")]
    >>> matches = visita.find(galleries, "a white square on an orange background", k=3)
    >>> len(matches), matches[0].probability > matches[1].probability
    (3, True)
    """
    finder = shared_finder(galleries)
    query = finder.sum_of(_terms(text) if isinstance(text, str) else text)
    wanted = in_quotes(text) if isinstance(text, str) and query.kind != "picture" else None
    look = partial(search_exactly, query, wanted) if wanted else partial(search, query)
    return look(galleries, k, threshold=threshold, where=where, sort=sort, group=group)


def _terms(text: str) -> list[Term]:
    terms = terms_of(text)
    if any(isinstance(term.what, Path) for term in terms):
        raise DataError(
            f"{text[:100]!r} names a file, and a text reads none here: in Python give "
            "visita.terms_of(text) or a list of visita.Term, or describe the picture."
        )
    return terms or [Term(text)]


def find_like(
    galleries: Sequence[Gallery],
    picture: Image | str | Path,
    k: int = 10,
    *,
    threshold: float | None = None,
    where: Filter | None = None,
    sort: Sort = "relevance",
    group: bool = False,
) -> Matches[Match]:
    """Return the k pictures of all galleries most similar to ``picture``.

    The score is a similarity (cosine of the vectors, also where a matcher has two stages), no
    probability; ``threshold`` is one too, and ``sort="date"`` needs one. ``group`` is as for
    ``find``.

    Raises
    ------
    PictureError
        If the picture cannot be decoded.
    MismatchError, ConfigError
        As for ``find``.

    Examples
    --------
    >>> best, *_ = visita.find_like([visita.Gallery.open("mypairs")], "mypairs/00002.jpg")
    >>> best.path.name, round(best.score, 2), best.probability
    ('00002.jpg', 1.0, None)
    """
    finder = shared_finder(galleries)
    vectors = unit(finder.embed_pictures([finder.pictures.open(picture)]))
    query = Query.from_vectors(vectors)
    return search(query, galleries, k, threshold=threshold, where=where, sort=sort, group=group)


def shared_finder(galleries: Sequence[Gallery]) -> Finder:
    """Return the finder of galleries that are searched together.

    Raises
    ------
    ConfigError
        If there is none.
    MismatchError
        If they do not share one matcher: their scores could not be compared.
    """
    checked = listed(galleries, Gallery, "Galleries are a list of Gallery")
    if not checked:
        raise ConfigError("Give one gallery or more to search.")
    first: Finder = checked[0].finder
    for gallery in checked[1:]:
        if gallery.finder.matcher is first.matcher:
            continue
        if gallery.finder.matcher.fingerprint() != first.matcher.fingerprint():
            raise MismatchError(
                f"{gallery.stored} has the matcher {gallery.finder.matcher.name!r}, "
                f"{checked[0].stored} has {first.matcher.name!r}: "
                "open all galleries with the same one."
            )
    return first
