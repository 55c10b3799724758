"""What the tests share: one thread, one home with one graph cache, drawn pairs and real data."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# Processes are many, and none compiles again what another has compiled: where bytecode may not be
# written beside the sources, it is kept with what pytest keeps.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    kept = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    sys.pycache_prefix = os.environ.setdefault("PYTHONPYCACHEPREFIX", kept)
    sys.dont_write_bytecode = False

# Before anyone imports numpy or torch, and for every subprocess: the same seed gives the same
# bits at one thread count only. The other cores are for the other workers.
os.environ["OMP_NUM_THREADS"] = os.environ["VISITA_CORES"] = "1"

import gc
import shutil
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
import watching
from drawn import draw_pairs
from extras import skipped_if_lacking

from visita import Gallery
from visita.data import PairSet, open_pairs
from visita.encoders.library.networks import imported
from visita.encoders.minilm import MiniLM
from visita.types import Recipe

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from serving import Service

if find_spec("torchvision"):
    imported("torchvision")  # as visita does, before a test imports what needs it


class Module(pytest.Module):
    """A file of tests, which is skipped where it cannot be imported without an extra."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Return its tests."""
        with skipped_if_lacking(f"{self.path.name}: "):
            return super().collect()


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Module:
    """Return what collects a file of tests."""
    return Module.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Skip a test whose fixtures need an extra."""
    with skipped_if_lacking():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Skip a test that needs an extra."""
    with skipped_if_lacking():
        return (yield)


def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores: each waits at times for a disk or a process."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Seek no garbage in what is imported now, neither now nor later: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long files first, so that workers end together: those slow throughout, and few."""
    tests = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[item.path] / tests[item.path], tests[item.path], item.path))


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep galleries, features and graphs of the whole session in one temporary folder.

    What takes seconds is made once, for all workers too: they share the cache. Tests that write
    galleries or damage files choose a folder of their own.
    """
    folder = tmp_path_factory.mktemp("home")
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    shared.mkdir(exist_ok=True)
    (folder / "cache").symlink_to(shared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def silence() -> Iterator[None]:
    """See that no process of the session spoke to another machine or wrote into HOME."""
    yield
    assert watching.notes() == ""


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 120 drawn pictures, each with three captions beside it."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_pairs(folder, 120)
    return folder


@pytest.fixture(scope="session")
def drawn_pairs(drawn_folder: Path) -> PairSet:
    """Return the drawn pairs: 84 train, 18 dev and 18 test images."""
    return open_pairs(f"folder:{drawn_folder}")


@pytest.fixture(scope="session")
def gallery(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Return a gallery of the drawn pictures, kept apart from those that tests make."""
    found = Gallery.open(drawn_folder, home=tmp_path_factory.mktemp("galleries"))
    found.sync()
    return found


@pytest.fixture(scope="session")
def named_folder(drawn_folder, tmp_path_factory) -> Path:
    """Return the drawn pairs with many nouns in their texts, half of them true of a picture."""
    folder = tmp_path_factory.mktemp("named") / "named"
    shutil.copytree(drawn_folder, folder)
    rng = np.random.default_rng(0)
    nouns = [f"{a}{b}" for a in ("lamp", "door", "vase", "lake", "moon") for b in "bdfgk"]
    for path in sorted(folder.glob("*.txt")):
        said = " and ".join(f"a {noun}" for noun in nouns if rng.random() < 0.5)
        path.write_text(
            "".join(f"{t} with {said}\n" for t in path.read_text("utf-8").splitlines()), "utf-8"
        )
    return folder


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Return three real photographs, of 512 x 512, 451 x 300 and 600 x 400 pixels."""
    folder = Path(pytest.importorskip("skimage.data").__file__).parent
    return [folder / name for name in ("astronaut.png", "chelsea.png", "coffee.png")]


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Return the features that most tests use, so that one export serves them all."""
    return Recipe({"efficientnet-lite0": ("block10:avg", "head:avg", "classes")}, mirror=True)


@pytest.fixture(scope="session")
def sentences() -> MiniLM:
    """Return the text encoder that most tests use, so that one export serves them all."""
    return MiniLM(("layer3", "layer6"))


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """Return the folder of Flickr8k."""
    return _real("flickr8k")


@pytest.fixture(scope="session")
def coco80() -> Path:
    """Return the folder with 80 pictures of MSCOCO."""
    return _real("coco80")


def _real(name: str) -> Path:
    folder = Path(os.environ.get("VISITA_DATA", ""), name)
    if not folder.is_dir():
        pytest.skip(f"needs {name}: VISITA_DATA does not name the folder that holds it")
    return folder


@pytest.fixture(scope="module")
def service(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service in step with the folder that a file of tests has as ``album``."""
    from serving import serving  # noqa: PLC0415 - few need it, and it needs an extra

    with serving(album, "--gallery", tmp_path_factory.mktemp("page-home")) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield a browser."""
    from browsing import browser  # noqa: PLC0415 - few need it, and it needs an extra

    with browser(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Hear interrupts, and let children: what a shell starts in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
