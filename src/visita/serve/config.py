"""What decides how the service runs: a TOML file, then ``VISITA_SERVE_…`` variables, then flags."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from visita.errors import ConfigError
from visita.matchers import DEFAULT
from visita.training.settings import Settings

PREFIX = "VISITA_SERVE_"
SHORTEST_TOKEN = 16


class ServeConfig(Settings):
    """How the service runs.

    Attributes
    ----------
    host, port : str, int
        Where it listens. Beyond this machine it needs a token.
    token : str or None
        What each request has to bring, of 16 characters or more.
    hosts : tuple of str
        Names that it may be asked by, besides ``localhost`` and addresses in numbers.
    origins : tuple of str
        Origins of other pages that may ask it, as in ``https://desk.example.org``.
    matcher : str
        What is searched with.
    home : Path or None
        Where galleries are kept; the user's unless given.
    exclude : tuple of str
        Patterns of files and folders to leave out.
    past : str or None
        Past articles with their pictures, ``READER:PATH``, to recommend by.
    root : tuple of Path
        More folders that their pictures may lie in.
    threads : int
        Requests that are worked on at once.
    waiting : int
        Requests that may wait for these; more are answered 429.
    body : int
        Bytes of a request.
    bodies : int
        Bytes of all requests that are read or worked on; for more, 429 is answered.
    pixels : int
        Of a picture that is sent.
    seconds : float
        What a request may take, and a client to send it.

    Raises
    ------
    ConfigError
        If a name is unknown, a value does not fit, or it would be open to others without a token.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8420
    token: Annotated[str | None, Field(min_length=SHORTEST_TOKEN)] = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    matcher: str = DEFAULT
    home: Path | None = None
    exclude: tuple[str, ...] = ()
    past: str | None = None
    root: tuple[Path, ...] = ()
    threads: Annotated[int, Field(ge=1, le=256)] = 16
    waiting: Annotated[int, Field(ge=0, le=10_000)] = 128
    body: Annotated[int, Field(ge=1_000)] = 32_000_000
    bodies: Annotated[int, Field(ge=1_000)] = 256_000_000
    pixels: Annotated[int, Field(ge=1)] = 64_000_000
    seconds: Annotated[float, Field(gt=0)] = 60

    @classmethod
    def of_everything(
        cls, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]
    ) -> Self:
        """Return the settings of a file, changed by variables, changed by flags that are not None.

        A variable is a key in capitals, as in ``VISITA_SERVE_PORT``; several values are parted by
        commas.

        Raises
        ------
        ConfigError
            As for the class; the message names a variable that does not exist.
        """
        read = cls.read(file).model_dump(exclude_unset=True)
        told = {key: flag for key, flag in flags.items() if flag is not None}
        settings = cls.of({**read, **cls._of_variables(environment), **told})
        settings.check()
        return settings

    @classmethod
    def _of_variables(cls, environment: Mapping[str, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in environment.items():
            if name.startswith(PREFIX) and value:
                key = name.removeprefix(PREFIX).lower()
                field = cls.model_fields.get(key)
                several = field is not None and field.default == ()
                values[key] = tuple(value.split(",")) if several else value
        return values

    def check(self) -> None:
        """Refuse to be open to others without a token.

        Raises
        ------
        ConfigError
            Which says how to make one.
        """
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"On {self.host} other machines can ask the service, so it needs a token: set "
                f"{PREFIX}TOKEN to {SHORTEST_TOKEN} characters or more, such as what  python -c "
                "'import secrets; print(secrets.token_urlsafe())'  prints."
            )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
