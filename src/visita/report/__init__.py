"""One report of an experiment: what it holds, and the same written as HTML, Markdown and JSON."""

from visita.report.content import (
    Bars,
    Column,
    Curves,
    Example,
    Examples,
    Picture,
    Report,
    Row,
    Scatter,
    Sheet,
    Table,
    versions,
)
from visita.report.write import write_report

__all__ = [
    "Bars",
    "Column",
    "Curves",
    "Example",
    "Examples",
    "Picture",
    "Report",
    "Row",
    "Scatter",
    "Sheet",
    "Table",
    "versions",
    "write_report",
]
