"""Running the service until it is told to stop; it finishes what it began."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvicorn
from threadpoolctl import threadpool_limits

from visita.errors import ConfigError
from visita.home import data_home
from visita.progress import say
from visita.serve.app import make_app
from visita.serve.config import ServeConfig, is_loopback
from visita.serve.desk import Desk
from visita.serve.kept import Kept
from visita.serve.learning import Learning
from visita.serve.patience import patient

BACKLOG = 2048
CONNECTIONS = 1000
"""More than these are refused by 503: each takes some memory, even one that says nothing."""


def serve(folders: Sequence[Path], config: ServeConfig, *, opens: bool = False) -> None:
    """Serve the galleries of some folders.

    Parameters
    ----------
    opens
        Open the page in a browser.

    Raises
    ------
    ConfigError
        If the address is taken or not of this machine.
    VisitaError
        If there is no such folder, or the matcher cannot be loaded.
    """
    listening = _listen(config)
    threadpool_limits(1, "blas")  # requests run side by side: threads within one wait for another's
    home = (config.home or data_home()) / "serve"
    desk = Desk(folders, config, Kept(home))
    app = make_app(desk, Learning(desk, home / "learnt"))
    address = _address(config, listening)
    server = Server(
        uvicorn.Config(
            app,
            http=patient(config.seconds),
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(config.seconds) + 1,
        ),
        lambda: _told(address, config, opens),
    )
    server.run(sockets=[listening])


class Server(uvicorn.Server):
    """Says when it can be asked."""

    def __init__(self, config: uvicorn.Config, begun: Callable[[], None]) -> None:
        super().__init__(config)
        self._begun = begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._begun()


def _listen(config: ServeConfig) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM
        )[0]
        with ExitStack() as stack:
            listening = stack.enter_context(socket.socket(family, kind))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
            stack.pop_all()
    except OSError as error:
        raise ConfigError(
            f"{config.host} port {config.port} cannot be listened at ({error.strerror}): name "
            "another by --port, such as 0 for any that is free."
        ) from error
    return listening


def _address(config: ServeConfig, listening: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{listening.getsockname()[1]}/"


def _told(address: str, config: ServeConfig, opens: bool) -> None:
    print(address, flush=True)
    say("Serving: Ctrl-C ends it.")
    if opens and is_loopback(config.host):
        webbrowser.open(f"{address}?token={config.token}" if config.token else address)
