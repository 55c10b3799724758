"""Names that strangers chose, as part of a line of text."""

from pathlib import Path

_STEERS = (
    *(*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029),  # controls, line ends
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turns
)
_ESCAPED = {code: repr(chr(code))[1:-1] for code in _STEERS}


def one_line(text: str | Path) -> str:
    r"""Return ``text`` such that it breaks no line, steers no terminal, turns no word: ``a\nb``."""
    return str(text).translate(_ESCAPED)
