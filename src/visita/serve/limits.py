"""How much may be asked: bytes of a request and of all, seconds, and how many are under way.

What is beyond is refused at once, so that a service that is asked too much answers what it can
as fast as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from visita.serve.config import ServeConfig
from visita.serve.guard import App, Message, Receive, Send
from visita.serve.problems import problem

LIGHT = ("/api/v1/health", "/api/v1/ready", "/api/v1/metrics")
"""What is answered however many wait."""
CLOSED, SOON = {"Connection": "close"}, {"Retry-After": "1"}
BUSY = "The service has as many requests as it can take: ask again in a moment."


class TooLargeError(Exception):
    """A request with more bytes than it may have."""


class NoRoomError(Exception):
    """A request for whose bytes there is no room now."""


@dataclass
class Room:
    """Bytes that there is room for yet."""

    left: int


class Share:
    """What one request keeps of the bytes that all requests may keep together."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._kept = 0

    def keep(self, count: int) -> bool:
        """Keep so many bytes more, if there is room; tell whether there was."""
        if count > self._room.left:
            return False
        self._room.left -= count
        self._kept += count
        return True

    def release(self) -> None:
        """Keep nothing more."""
        self._room.left += self._kept
        self._kept = 0


class Limits:
    """Answers 413, 408, 429 and 504 in place of the app."""

    def __init__(self, app: App, config: ServeConfig) -> None:
        self._app = app
        self._config = config
        self._most = config.threads + config.waiting
        self._room = Room(max(config.body, config.bodies))
        self._under_way: set[object] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with ExitStack() as end:
            share = Share(self._room)
            end.callback(share.release)
            try:
                async with asyncio.timeout(self._config.seconds):
                    messages = await self._read(receive, share)
            except TooLargeError:
                most = f"A request may have {self._config.body:,} bytes."
                await problem(413, most, headers=CLOSED)(scope, receive, send)
            except NoRoomError:
                await problem(429, BUSY, headers=CLOSED | SOON)(scope, receive, send)
            except TimeoutError:
                late = "The request came too slowly."
                await problem(408, late, headers=CLOSED)(scope, receive, send)
            else:
                if messages[-1]["type"] != "http.disconnect":
                    await self._answer(scope, _replayed(messages, receive), send, end)

    async def _read(self, receive: Receive, share: Share) -> list[Message]:
        """Return all of a request; one that is too large is read to its end and not kept.

        Its client would not hear the answer else, as it is still sending.
        """
        messages: list[Message] = []
        size, more = 0, True
        refusal: Exception | None = None
        while more:
            message = await receive()
            count = len(message.get("body", b""))
            size += count
            more = message.get("more_body", False)
            if size > self._config.body:
                refusal = TooLargeError()
            elif refusal is None and not share.keep(count):
                refusal = NoRoomError()
            if refusal is None:
                messages.append(message)
            else:
                messages.clear()
                share.release()
        if refusal is not None:
            raise refusal
        return messages

    async def _answer(self, scope: Message, receive: Receive, send: Send, end: ExitStack) -> None:
        """Answer a request; ``end`` is closed when the work on it has ended."""
        if not scope["path"].startswith(LIGHT) and len(self._under_way) >= self._most:
            await problem(429, BUSY, headers=SOON)(scope, receive, send)
            return
        place = object()
        self._under_way.add(place)
        answer = _Answer(send, lambda: self._under_way.discard(place))
        task = asyncio.ensure_future(self._app(scope, receive, answer))
        end.callback(self._under_way.discard, place)
        ended = end.pop_all()
        task.add_done_callback(lambda _: ended.close())
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
