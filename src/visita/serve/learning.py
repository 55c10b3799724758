"""Learn: the matcher in use is adapted to what people marked, in a process of its own.

That is ``visita train fusion --from``: it holds pictures back, measures before and after on them,
and leaves a matcher in a folder. Nothing is searched with it until somebody says so.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from visita.durable import make_folder, write_durably
from visita.errors import ConfigError, DataError
from visita.serve import kept_models, models
from visita.serve.desk import Desk
from visita.serve.problems import NotFoundError, NotReadyError
from visita.serve.uploads import opened

LOG = logging.getLogger("visita.serve")
PAIRS, WRONG, RESULT, MATCHER = "pairs.jsonl", "wrong.jsonl", "job.json", "matcher"
ENOUGH = 12
"""Pictures that learning needs at least."""
TOLD = 5
"""Last lines of a run that are told where it failed."""


@dataclass
class Run:
    """One run: its folder, its process while there is one, and what it said."""

    folder: Path
    started: str
    pairs: int
    state: str = "running"
    process: subprocess.Popen[str] | None = None
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=TOLD))
    comparison: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What it is called."""
        return self.folder.name

    @property
    def matcher(self) -> str:
        """The folder of what it learnt."""
        return str(self.folder / MATCHER)

    def told(self, in_use: str) -> kept_models.Job:
        """Return what there is to say of it."""
        return kept_models.Job(
            id=self.id,
            state=self.state,  # type: ignore[arg-type]
            started=self.started,
            detail="\n".join(self.lines),
            pairs=self.pairs,
            wrong=self.comparison.get("wrong", 0),
            held_back=self.comparison.get("images", 0),
            changes=tuple(_changes(self.comparison)),
            in_use=self.matcher == in_use,
        )


class Learning:
    """All runs, one at a time; those that ended are on disk."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        self._desk = desk
        self._folder = folder
        self._lock = Lock()
        self._runs = {run.id: run for run in _read_runs(folder)}

    def runs(self) -> list[Run]:
        """Return all, the newest first."""
        return sorted(self._runs.values(), key=lambda run: run.started, reverse=True)

    def run(self, name: str) -> Run:
        """Return one by its id.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        if name not in self._runs:
            raise NotFoundError(f"There is no run of learning {name[:40]!r}.")
        return self._runs[name]

    def begin(self, asked: kept_models.LearnRequest) -> Run:
        """Begin a run on all marks, and on the pairs that are sent, which are right.

        Raises
        ------
        ConfigError
            If one is running.
        DataError
            If there are too few pictures.
        """
        with self._lock:
            if any(run.state == "running" for run in self._runs.values()):
                raise ConfigError("The service is learning already: wait until that is done.")
            folder = self._folder / uuid.uuid4().hex
            make_folder(folder)
            try:
                pairs = self._write_pairs(asked, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)  # nothing was begun
                raise
            run = Run(folder, datetime.now(UTC).isoformat(timespec="seconds"), pairs)
            self._runs[run.id] = run
            run.process = self._process(run)
        Thread(target=self._follow, args=(run,), name="learning", daemon=True).start()
        return run

    def stop(self, run: Run) -> None:
        """End a run; what it did is lost."""
        if run.process is not None and run.state == "running":
            run.state = "stopped"
            run.process.terminate()

    def close(self) -> None:
        """End what runs, as the service ends."""
        for run in self._runs.values():
            self.stop(run)

    def use(self, name: str | None) -> None:
        """Search with what a run learnt; None goes back to what was before.

        Raises
        ------
        NotFoundError
            If there is no such run.
        ConfigError
            If it has nothing to search with.
        """
        if name is None:
            self._desk.switch(self._desk.config.matcher)
            return
        run = self.run(name)
        if run.state != "done":
            raise ConfigError("That run did not end with something to search with.")
        self._desk.switch(run.matcher)

    def _write_pairs(self, asked: kept_models.LearnRequest, folder: Path) -> int:
        """Write what a run learns from into its folder, and return how many pairs that is."""
        rows = [*self._marked(fits=True), *self._sent(asked.pairs, folder)]
        pictures = len({row["image"] for row in rows})
        if pictures < ENOUGH:
            raise DataError(
                f"Learning needs texts of {ENOUGH} pictures or more that were marked right, "
                f"and there are {pictures}."
            )
        _write_rows(folder / PAIRS, rows)
        if wrong := list(self._marked(fits=False)):
            _write_rows(folder / WRONG, wrong)
        return len(rows)

    def _marked(self, *, fits: bool) -> Iterable[dict[str, str]]:
        for mark in self._desk.kept.marks():
            if mark.fits is fits:
                try:
                    path = self._desk.library.of(mark.gallery).shelf.path(mark.id)
                except (NotFoundError, NotReadyError):
                    continue  # it is not there now
                yield {"image": str(path), "text": mark.text}

    def _sent(self, pairs: Sequence[models.MatchRequest], folder: Path) -> Iterable[dict[str, str]]:
        for number, pair in enumerate(pairs):
            if pair.picture.gallery is not None and pair.picture.id is not None:
                path = self._desk.library.of(pair.picture.gallery).shelf.path(pair.picture.id)
            else:
                path = folder / f"{number:05d}.png"
                opened(pair.picture, self._desk.library, self._desk.config.pixels).save(path)
            yield {"image": str(path), "text": pair.text}

    def _process(self, run: Run) -> subprocess.Popen[str]:
        base = self._desk.config.matcher
        roots = [served.stored.folder for served in self._desk.library.served.values()]
        words = ["train", "fusion", "--from", base, "--data", str(run.folder / PAIRS)]
        words += ["--out", run.matcher, "--json"]
        if (wrong := run.folder / WRONG).is_file():
            words += ["--wrong", str(wrong)]
        words += [word for root in roots for word in ("--root", str(root))]
        return subprocess.Popen(
            [sys.executable, "-m", "visita", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )

    def _follow(self, run: Run) -> None:
        process = run.process
        assert process is not None and process.stderr is not None
        reader = Thread(target=lambda: run.lines.extend(map(str.strip, process.stderr or ())))
        reader.start()
        out = process.stdout.read() if process.stdout else ""
        reader.join()
        if process.wait() == 0:
            run.comparison = json.loads(out)["comparison"]
        if run.state == "running":
            run.state = "failed" if process.returncode else "done"
        write_durably(run.folder / RESULT, json.dumps(_facts(run)).encode())


def _write_rows(path: Path, rows: Iterable[dict[str, str]]) -> None:
    write_durably(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def _facts(run: Run) -> dict[str, Any]:
    names = ("started", "pairs", "state", "comparison")
    return {**{name: getattr(run, name) for name in names}, "lines": list(run.lines)}


def _read_runs(folder: Path) -> Iterable[Run]:
    for path in folder.glob(f"*/{RESULT}"):
        try:
            facts = json.loads(path.read_bytes())
            lines = deque(facts.pop("lines"), maxlen=TOLD)
            yield Run(path.parent, lines=lines, **facts)
        except (ValueError, TypeError, KeyError, OSError) as error:
            LOG.error("%s is damaged (%s): its run is left out; delete its folder.", path, error)


def _changes(comparison: dict[str, Any]) -> Iterable[kept_models.Change]:
    for metric, values in _flat(comparison.get("difference", {})):
        sides = (_at(comparison[side], metric) for side in ("before", "after"))
        before, after, difference = (
            kept_models.Interval(**{key: side[key] for key in ("value", "low", "high")})
            for side in (*sides, values)
        )
        name = " ".join(metric).replace("_", " ")
        yield kept_models.Change(metric=name, before=before, after=after, difference=difference)


def _flat(
    values: dict[str, Any], at: tuple[str, ...] = ()
) -> Iterable[tuple[tuple[str, ...], dict[str, Any]]]:
    for name, value in values.items():
        if isinstance(value, dict) and "low" in value:
            yield (*at, name), value
        elif isinstance(value, dict):
            yield from _flat(value, (*at, name))


def _at(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        values = values[name]
    return values
