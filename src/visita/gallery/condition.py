"""A stranger's SQL as a condition on rows: one expression over the columns, and nothing else.

SQLite itself asks, of each thing that an expression does, whether it may; what is not listed
here may not. So nothing is read but the columns, nothing is written, and no function takes more
memory than its arguments.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection

from visita.errors import ConfigError, did_you_mean

MOST = 10_000
"""Characters of an expression."""
MOST_BYTES = 10**6
"""Of a value that is computed."""
MOST_PATTERN = 1000
"""Bytes of what LIKE or GLOB compares with."""
FUNCTIONS = frozenset(
    {
        *("abs", "coalesce", "date", "datetime", "glob", "ifnull", "iif", "instr", "julianday"),
        *("length", "like", "lower", "ltrim", "max", "min", "nullif", "round", "rtrim", "sign"),
        *("strftime", "substr", "substring", "time", "trim", "typeof", "unicode", "upper"),
    }
)
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]""")


def check_condition(
    connection: sqlite3.Connection, expression: str, columns: Collection[str]
) -> None:
    """Refuse what is no expression over the ``columns`` of the table ``pictures``.

    Raises
    ------
    ConfigError
        Which says why not.
    """
    if reason := _not_one_expression(expression):
        raise ConfigError(f"The condition {_shown(expression)} {reason}.")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MOST_PATTERN)
    guard = _Guard(columns)
    connection.set_authorizer(guard)
    try:
        connection.execute(f"SELECT 1 FROM pictures WHERE ({expression}\n) LIMIT 0").close()
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        reason = guard.refused or _plain(str(error), columns)
        raise ConfigError(
            f"The condition {_shown(expression)} cannot be used: {reason}."
        ) from error
    finally:
        connection.set_authorizer(None)


class _Guard:
    """Answers SQLite; the first thing that was refused is noted."""

    def __init__(self, columns: Collection[str]) -> None:
        self.refused = ""
        self._columns = {"", *columns}
        self._selects = 0

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        """Return whether SQLite may do something, as it asks while it reads an expression."""
        if reason := self._fault(action, first or "", second or ""):
            self.refused = self.refused or reason
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    def _fault(self, action: int, first: str, second: str) -> str:
        if action == sqlite3.SQLITE_SELECT:
            self._selects += 1
            return "" if self._selects == 1 else "it may hold no SELECT"
        if action == sqlite3.SQLITE_FUNCTION:
            return "" if second.lower() in FUNCTIONS else f"the function {second} is not allowed"
        if action == sqlite3.SQLITE_READ and first == "pictures":
            return "" if second in self._columns else _unknown(second, self._columns)
        return "only columns, operators and plain functions are allowed"


def _not_one_expression(expression: str) -> str:
    if len(expression) > MOST:
        return f"is longer than {MOST:,} characters"
    if "\0" in expression or not expression.strip():
        return "is empty or holds a zero byte"
    bare = _QUOTED.sub("''", expression)
    if re.search(r"--|/\*|;|['\"`\[\]]", bare.replace("''", "")):
        return "holds a comment, a semicolon or a quotation without an end"
    depth = 0
    for sign in re.findall(r"[()]", bare):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            break
    return "has brackets that do not match" if depth else ""


def _plain(message: str, columns: Collection[str]) -> str:
    if match := re.fullmatch(r"no such column: (.*)", message):
        return _unknown(match[1], columns)
    return message


def _unknown(name: str, columns: Collection[str]) -> str:
    known = sorted({*columns} - {""})
    return f"there is no column {name!r}.{did_you_mean(name, known)} There are: {', '.join(known)}"


def _shown(expression: str) -> str:
    return repr(expression if len(expression) <= 100 else f"{expression[:99]}…")
