"""Work that ends at its n-th change of the disk, and what a reader and the next writer find then.

A change is a file opened for writing, a name made, moved or removed, a file cut, or a wait for
the disk; a file that the disk is waited for can be torn, too: the end of what was added is lost.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Set
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import count
from pathlib import Path

from killing import PROGRAMS, Rows, expected, same, stored
from large import as_large
from standin import ColourMeans, draw_noise

from visita.errors import ArtifactError, DataError
from visita.gallery.gallery import StoredGallery
from visita.gallery.upkeep import compact_gallery, verify_gallery

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
FORMAT_1 = Path(__file__).parent / "data" / "format-1"


@dataclass(frozen=True)
class Scenario:
    """Work on a home and the pictures beside it.

    ``kept`` are the names of what was known before and has to be found whenever it ends;
    ``gone``, of what was known and is not there, so that it may be found until that is seen.
    """

    name: str
    root: Path
    kind: str
    kept: Set[str] = frozenset()
    gone: Set[str] = frozenset()

    def work(self, root: Path) -> None:
        if self.name == "compaction":
            with as_large():
                compact_gallery(gallery(root).path)
        PROGRAMS[self.kind](root / "home", root / "pictures", self.encoder)

    @property
    def encoder(self) -> ColourMeans:
        return ColourMeans(levels=("2",))


def gallery(root: Path) -> StoredGallery:
    return StoredGallery.open(root / "pictures", home=root / "home")


def scenarios(root: Path) -> list[Scenario]:
    """Make the homes and pictures that each kind of work begins with."""
    made = []
    for name in ("extraction", "sync", "changes", "compaction", "upgrade"):
        place = root / name
        for i in range(6, 24) if name == "upgrade" else range(24):
            draw_noise(place / "pictures" / f"{i:02d}.png", i)
        made.append(_prepared(name, place))
    return made


def _prepared(name: str, root: Path) -> Scenario:
    pictures = root / "pictures"
    kept, gone = set(), set()
    if name == "upgrade":
        shutil.copytree(FORMAT_1 / "pictures", pictures, dirs_exist_ok=True)
        (pictures / "broken.png").unlink()
        shutil.copytree(FORMAT_1 / "gallery", gallery(root).path)
        kept = {f"{i}.png" for i in range(6)}
    elif name in ("changes", "compaction"):
        PROGRAMS["gallery"](root / "home", pictures, ColourMeans(levels=("2",)))
        gone = {f"{i:02d}.png" for i in range(12)}
        for one in gone:
            (pictures / one).unlink()
        kept = {f"{i:02d}.png" for i in range(12, 24)}
    if name == "compaction":
        PROGRAMS["gallery"](root / "home", pictures, ColourMeans(levels=("2",)))
    if name == "changes":
        for i in range(24, 36):
            draw_noise(pictures / f"{i:02d}.png", i)
    return Scenario(name, root, "store" if name == "extraction" else "gallery", kept, gone)


def copied(scenario: Scenario, root: Path) -> Path:
    """Return a home to work on; the pictures stay where they are, as a gallery knows them."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    (root / "pictures").symlink_to(scenario.root / "pictures")
    if (scenario.root / "home").exists():
        shutil.copytree(scenario.root / "home", root / "home")
    return root


def points(scenario: Scenario, root: Path) -> int:
    """Return how many changes of the disk the work makes."""
    reader, writer = os.pipe()
    _forked(lambda: scenario.work(copied(scenario, root)), None, 0, report=writer)
    os.close(writer)
    with os.fdopen(reader) as counted:
        return int(counted.read())


@dataclass(frozen=True)
class Crash:
    """What came of one: was all that was found right, and did it become whole?"""

    right: bool
    resumed: bool


def crash(scenario: Scenario, root: Path, at: int, seed: int | None) -> Crash:
    """End the work at its change number ``at``, torn if there is a ``seed``; look; go on."""
    copied(scenario, root)
    _forked(lambda: scenario.work(root), at, seed)
    truth = expected(scenario.kind, _flat(root), scenario.encoder)
    found = _found(scenario, root)
    known = {name: row for name, row in found.items() if name not in scenario.gone}
    right = scenario.kept <= found.keys() and _agree(known, truth)
    with redirect_stdout(StringIO()):
        scenario.work(root)
    again = _found(scenario, root)
    whole = again.keys() == truth.keys() and _agree(again, truth)
    if scenario.kind == "gallery":
        whole &= not verify_gallery(gallery(root).path).damaged
    return Crash(right, whole)


def _flat(root: Path) -> Path:
    """Return a folder of links to all pictures, whatever folder they are in."""
    flat = root / "flat"
    flat.mkdir()
    for path in (root / "pictures").rglob("*.png"):
        (flat / path.name).symlink_to(path.resolve())
    return flat


def _found(scenario: Scenario, root: Path) -> dict[str, Rows]:
    try:
        return stored(scenario.kind, root / "home", root / "pictures", scenario.encoder)
    except DataError:  # nothing was ever committed
        return {}
    except ArtifactError as error:
        if "is not a feature store" not in str(error):
            raise
        return {}


def _agree(found: dict[str, Rows], truth: dict[str, Rows]) -> bool:
    return all(name in truth and same(row, truth[name]) for name, row in found.items())


def _forked(
    work: Callable[[], object], at: int | None, seed: int | None, report: int | None = None
) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            changes = _watch(at, seed)
            with redirect_stdout(StringIO()):
                work()
            if report is not None:
                os.write(report, str(next(changes)).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)


def _watch(at: int | None, seed: int | None) -> count[int]:
    """Count the changes that this process makes from now on, and end it at one."""
    changes, sizes, fsync = count(), {}, os.fsync

    def step(handle: int | None = None) -> None:
        if next(changes) == at:
            if handle is not None and seed is not None:
                _tear(handle, sizes, seed)
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE:
            path = os.path.abspath(str(arguments[0]))  # noqa: PTH100
            sizes[path] = os.stat(path).st_size if os.path.isfile(path) else 0  # noqa: PTH113, PTH116
            step()
        elif event in CHANGES:
            step()

    def wait(handle: int) -> None:
        step(handle)
        fsync(handle)

    sys.addaudithook(hook)
    os.fsync = wait
    return changes


def _tear(handle: int, sizes: dict[str, int], seed: int) -> None:
    path = str(Path(f"/proc/self/fd/{handle}").readlink())
    if os.path.isfile(path):  # noqa: PTH113
        size = os.fstat(handle).st_size
        kept = random.Random(seed).randint(min(size, sizes.get(path, size)), size)
        with open(path, "r+b") as file:  # noqa: PTH123
            file.truncate(kept)
