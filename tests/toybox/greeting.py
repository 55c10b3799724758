"""A command."""

from __future__ import annotations

from visita.cli.options import Json
from visita.cli.output import print_json


def hello(name: str = "world", as_json: Json = False) -> None:
    """Greet.

    [bold]visita hello --name you[/bold]
    """
    if as_json:
        print_json({"hello": name})
    else:
        print(f"hello {name}")
