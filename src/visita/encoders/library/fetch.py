"""Files of a repository on the Hugging Face hub, fetched into the hub's own cache.

The hub's library does all the talking, so ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_HOME``,
tokens and proxies are as everywhere else. What it leaves undone is done here: a file that broke
off is gone on with, in a later process too, and none gets into the cache whose bytes are not
those that the hub names by their hash.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import filelock
from huggingface_hub import (
    HfApi,
    constants,
    errors,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
from huggingface_hub.utils.sha import git_hash
from tqdm.auto import tqdm  # type: ignore[import-untyped]

from visita.artifact import sha256_of
from visita.durable import make_folder, sync_file
from visita.encoders.library.offer import Offer, RemoteFile, show
from visita.errors import ArtifactError, UnwritableError

SHA256_DIGITS = 64
_SILENT: Any = partial(tqdm, disable=True)
"""No bar: each file that was fetched had its own."""


def fetched(repository: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a repository in the cache, once it has all files of some patterns.

    Parameters
    ----------
    repository
        Its name, with ``@`` and a revision where that is not the main one.

    Raises
    ------
    ArtifactError
        If there is no such repository, it cannot be fetched, or comes with other bytes than the
        hub names. Where it cannot be asked for, what the cache holds will do.
    UnwritableError
        If the cache cannot be written.
    """
    try:
        offer = _offer(repository, patterns)
    except (HTTPError, OSError) as error:
        if folder := kept(repository, patterns):
            return folder
        raise _refusal(repository, error) from error
    show(offer)
    try:
        _check_room(offer)
        for file in offer.missing:
            _fetch(offer, file)
        folder = _snapshot(repository, patterns)
    except (HTTPError, OSError) as error:
        raise _refusal(repository, error) from error
    if folder.name != offer.commit:
        raise ArtifactError(f"{repository!r} was changed while it was fetched: fetch it again.")
    return folder


def kept(repository: str, patterns: Sequence[str]) -> Path | None:
    """Return the folder of a repository in the cache; None if it lacks some of the files.

    Raises
    ------
    ArtifactError
        If no repository can have that name.
    """
    try:
        return _snapshot(repository, patterns, local_files_only=True)
    except errors.HFValidationError as error:
        raise _misnamed(repository) from error
    except OSError:
        return None


def _snapshot(repository: str, patterns: Sequence[str], *, local_files_only: bool = False) -> Path:
    name, revision = _parts(repository)
    return Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=local_files_only,
            tqdm_class=_SILENT,
        )
    )


def _parts(repository: str) -> tuple[str, str | None]:
    name, _, revision = repository.partition("@")
    return name, revision or None


def _offer(repository: str, patterns: Sequence[str]) -> Offer:
    name, revision = _parts(repository)
    try:
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
    except errors.HFValidationError as error:
        raise _misnamed(repository) from error
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = tuple(
        RemoteFile(file, siblings[file].size or 0, _digest(siblings[file]))
        for file in siblings
        if any(fnmatch(file, pattern) for pattern in patterns)
    )
    missing = tuple(file for file in files if not _is_here(name, file.name, info.sha))
    return Offer(name, str(info.sha), _licence(info.card_data), files, missing)


def _is_here(name: str, file: str, commit: str | None) -> bool:
    return isinstance(try_to_load_from_cache(name, file, revision=commit), str)


def _digest(sibling: Any) -> str:
    return str(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id)


def _licence(card: Any) -> str | None:
    stated = card.to_dict() if card else {}
    licence = stated.get("license")
    named = stated.get("license_name") if licence == "other" else None
    return str(named or licence) if licence else None


def _check_room(offer: Offer) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    there = next(place for place in (cache, *cache.parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if free < offer.bytes:
        room = f"{offer.bytes / 1e6:,.1f} MB are wanted, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, room)


def _fetch(offer: Offer, file: RemoteFile) -> None:
    """Put a file into the cache, where the library finds it by its hash."""
    cache = Path(constants.HF_HUB_CACHE)
    folder = repo_folder_name(repo_id=offer.repository, repo_type="model")
    blob = cache / folder / "blobs" / file.digest
    lock = cache / ".locks" / folder / f"{file.digest}.lock"  # the one that the library takes
    for place in (blob.parent, lock.parent):
        make_folder(place)
    with filelock.FileLock(lock):
        if not blob.exists():
            _download(offer, file, blob)


def _download(offer: Offer, file: RemoteFile, blob: Path) -> None:
    part = blob.with_name(f"{blob.name}.visita.incomplete")
    try:
        with part.open("ab") as content:
            http_get(
                hf_hub_url(offer.repository, file.name, revision=offer.commit),
                content,
                resume_size=content.tell(),
                headers=build_hf_headers(),
                expected_size=file.bytes,
                displayed_filename=file.name,
            )
    except OSError as error:
        if type(error) is OSError and not error.errno:  # it has another size, so is another file
            part.unlink()
        raise
    if _hash_of(part, file.digest) != file.digest:
        part.unlink()
        raise ArtifactError(
            f"{file.name} of {offer.repository!r} came with other bytes than the hub names by "
            "their hash. They were thrown away: fetch it again, over a network that you trust."
        )
    sync_file(part)
    part.replace(blob)


def _hash_of(path: Path, digest: str) -> str:
    """Return the hash of a file of the kind that a digest is."""
    is_sha256 = len(digest) == SHA256_DIGITS
    return sha256_of(path) if is_sha256 else git_hash(path.read_bytes())


def _misnamed(repository: str) -> ArtifactError:
    return ArtifactError(
        f"{repository!r} is neither a folder nor the name of a repository on the hub."
    )


def _refusal(repository: str, error: Exception) -> ArtifactError:
    """Return what to raise where a repository was not fetched: the cause, and what to do."""
    cache = constants.HF_HUB_CACHE
    if isinstance(error, OSError) and error.errno:
        reason = error.strerror or str(error)
        return UnwritableError(
            f"{error.filename or cache} cannot be written ({reason}): make room there, or name "
            "another place with HF_HOME. What was fetched is kept.",
            reason,
        )
    return ArtifactError(
        f"{repository!r} is not in {cache} and could not be fetched: {_cause(repository, error)}"
    )


def _cause(repository: str, error: Exception) -> str:
    hub, log_in = constants.ENDPOINT, "log in with  hf auth login"
    name, revision = _parts(repository)
    match error:
        case errors.GatedRepoError():
            return (
                f"its makers choose who may have it. Ask them at {hub}/{name}, {log_in}, and try "
                "again."
            )
        case errors.RevisionNotFoundError():
            return f"{hub}/{name} has no revision {revision}."
        case errors.RepositoryNotFoundError():
            return f"{hub} shows you none of that name. Check it; if it is private, {log_in}."
        case errors.OfflineModeIsEnabled():
            return f"HF_HUB_OFFLINE is set. {_elsewhere(repository)}"
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"{hub} refuses it ({error.response.status_code}): {log_in}, and try again."
        case _:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            return f"{reason}. What was fetched is kept. {_elsewhere(repository)}"


def _elsewhere(repository: str) -> str:
    return (
        f"Where there is a network, run  {download_line(repository)}  first; HF_HOME says where it "
        "is kept."
    )


def download_line(repository: str) -> str:
    """Return the command of the hub's library that fetches a repository."""
    name, revision = _parts(repository)
    return f"hf download {name} --revision {revision}" if revision else f"hf download {name}"
