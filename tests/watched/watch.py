"""Notes whom a process would speak to, and what the command line would write that it may not.

That is anything in HOME, and anywhere what Windows would refuse for its name.

Python's audit tells of both; ``VISITA_TESTS_NOTES`` names the file of the notes.
"""

import os
import sys

# ruff: noqa: PTH100, PTH111, PTH118, PTH119 - every process pays for what is imported here

HERE = ("localhost", "127.", "::1", os.uname().nodename if hasattr(os, "uname") else "localhost")
HOME = os.path.join(os.path.expanduser("~"), "")
COMMAND_LINE = sys.orig_argv[1:3] == ["-m", "visita"]
REFUSED = frozenset('<>:"|?*\\').union(map(chr, range(32)))
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NOTES = os.open(os.environ["VISITA_TESTS_NOTES"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)


def hear(event: str, given: tuple) -> None:
    """Note an event of the audit, if it is one of those."""
    if spoken(event, given) or (COMMAND_LINE and written(event, given)):
        told = given[1] if event == "socket.connect" else given[0]
        os.write(NOTES, f"{event} {told!r} by {sys.orig_argv[1:]}\n".encode())


def spoken(event: str, given: tuple) -> bool:
    """Tell whether an event asks for another machine."""
    if event == "socket.connect":
        address = given[1]
        host = address[0] if isinstance(address, tuple) else None  # else a socket of this machine
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = given[0]
    else:
        return False
    return not str(host or HERE[0]).startswith(HERE)


def written(event: str, given: tuple) -> bool:
    """Tell whether an event makes a file or a folder that may not be."""
    makes = event == "os.mkdir" or (event == "open" and (given[2] or 0) & WRITING)
    if not makes or isinstance(given[0], int):  # a descriptor was opened by name before
        return False
    path = os.path.abspath(os.fsdecode(given[0]))
    return path.startswith(HOME) or not fits_windows(os.path.basename(path))


def fits_windows(name: str) -> bool:
    """Tell whether a file may have this name on Windows."""
    is_device = name.partition(".")[0].rstrip().lower() in DEVICES
    return REFUSED.isdisjoint(name) and not name.endswith((" ", ".")) and not is_device


sys.addaudithook(hear)
