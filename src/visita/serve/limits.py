"""How much may be asked: bytes of a request, seconds it takes, and how many are under way.

What is beyond is refused at once, so that a service that is asked too much answers what it can
as fast as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from visita.serve.config import ServeConfig
from visita.serve.guard import App, Message, Receive, Send
from visita.serve.problems import problem

LIGHT = ("/api/v1/health", "/api/v1/ready", "/api/v1/metrics")
"""What is answered however many wait."""


class TooLargeError(Exception):
    """A request with more bytes than it may have."""


class Limits:
    """Answers 413, 408, 429 and 504 in place of the app."""

    def __init__(self, app: App, config: ServeConfig) -> None:
        self._app = app
        self._config = config
        self._most = config.threads + config.waiting
        self._under_way: set[object] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        closed = {"Connection": "close"}
        try:
            async with asyncio.timeout(self._config.seconds):
                messages = await self._read(receive)
        except TooLargeError:
            most = f"A request may have {self._config.body:,} bytes."
            await problem(413, most, headers=closed)(scope, receive, send)
        except TimeoutError:
            await problem(408, "The request came too slowly.", headers=closed)(scope, receive, send)
        else:
            if messages[-1]["type"] != "http.disconnect":
                await self._answer(scope, _replayed(messages, receive), send)

    async def _read(self, receive: Receive) -> list[Message]:
        """Return all of a request; one that is too large is read to its end and not kept.

        Its client would not hear the answer else, as it is still sending.
        """
        messages: list[Message] = []
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            messages.append(message)
            if size > self._config.body:
                messages.clear()
        if size > self._config.body:
            raise TooLargeError
        return messages

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(LIGHT) and len(self._under_way) >= self._most:
            busy = "The service has as many requests as it can take: ask again in a moment."
            await problem(429, busy, headers={"Retry-After": "1"})(scope, receive, send)
            return
        place = object()
        self._under_way.add(place)
        answer = _Answer(send, lambda: self._under_way.discard(place))
        task = asyncio.ensure_future(self._app(scope, receive, answer))
        task.add_done_callback(lambda _: self._under_way.discard(place))
        await asyncio.wait({task}, timeout=self._config.seconds)
        if task.done() or answer.begun:
            await task
            return
        answer.cut = True  # the work goes on to its end, and keeps its place until then
        late = f"There was no answer within {self._config.seconds:g} s."
        await problem(504, late)(scope, receive, send)


class _Answer:
    """Passes an answer on, unless another was given in its place."""

    def __init__(self, send: Send, begins: Callable[[], None]) -> None:
        self._send = send
        self._begins = begins
        self.begun = False
        self.cut = False

    async def __call__(self, message: Message) -> None:
        self._begins()
        self.begun = True
        if not self.cut:
            await self._send(message)


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replay() -> Message:
        return next(waiting, None) or await receive()

    return replay
