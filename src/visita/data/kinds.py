"""What the names of files and folders in an archive tell: what is read, counted, left out."""

from __future__ import annotations

from fnmatch import fnmatchcase

from visita.data.raw import is_raw_name, reads_raw

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
VIDEO = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".mts"),
    *(".m2ts", ".3gp", ".ogv"),
)
UNREAD = (
    *(".psd", ".psb", ".xcf", ".kra", ".jxl", ".svg", ".svgz", ".ai", ".eps", ".cdr", ".exr"),
    *(".hdr", ".tga", ".dds", ".pcx", ".ico", ".icns", ".wmf", ".emf", ".jxr", ".wdp", ".djvu"),
)
"""Pictures in a format that visita does not read."""
LEFT_OUT = (
    *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # network storage
    *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx"),
    *(".trash", ".trashes", ".trash-*", ".dtrash", ".thumbnails", ".picasaoriginals", "*.lrdata"),
)
"""Folders of systems and programs, in lower case: previews, trash and copies."""


def is_picture_name(name: str) -> bool:
    """Tell whether a file's name ends like a picture's that can be read, in any case."""
    return name.lower().endswith(SUFFIXES) or (is_raw_name(name) and reads_raw())


def unread_kind(name: str) -> str | None:
    """Return the kind of a picture or video that is not read, as in ``RAW``; None of all else."""
    if is_raw_name(name):
        return "RAW"
    lower = name.lower()
    if lower.endswith(VIDEO):
        return "video"
    return lower.rpartition(".")[2].upper() if lower.endswith(UNREAD) else None


def is_left_out(folder_name: str) -> bool:
    """Tell whether a folder is one of ``LEFT_OUT``."""
    return any(fnmatchcase(folder_name.lower(), pattern) for pattern in LEFT_OUT)
