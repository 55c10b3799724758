"""What is too much is refused at once, what is late is told so, and what was begun is finished."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import pytest

pytest.importorskip("fastapi")

from visita.serve.config import ServeConfig
from visita.serve.encode import BatchedTexts
from visita.serve.limits import Limits

CAPTIONS = [f"{count} dogs on a beach" for count in ("two", "three", "many", "no", "some")] * 4


class Slow:
    """An application that answers once it may, and notes what it finished."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.finished = 0

    async def __call__(self, _scope, _receive, send) -> None:
        await self.may.wait()
        self.finished += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def asked(
    app: Limits, path: str = "/api/v1/search", body: bytes = b""
) -> tuple[int, dict[bytes, bytes]]:
    """Return the status and headers of an answer; the body is sent in two parts."""
    told: list[dict] = []
    parts = [(body[: len(body) // 2], True), (body[len(body) // 2 :], False)]

    async def receive() -> dict:
        part, more = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": more}

    async def send(message: dict) -> None:
        told.append(message)

    await app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    return told[0]["status"], dict(told[0]["headers"])


def test_what_waits_beyond_the_limit_is_refused_and_the_rest_is_answered():
    async def run() -> None:
        slow = Slow()
        app = Limits(slow, ServeConfig(threads=1, waiting=1))
        first = [asyncio.create_task(asked(app)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        status, headers = await asked(app)
        assert status == 429 and headers[b"retry-after"] == b"1"
        slow.may.set()
        assert [status for status, _ in await asyncio.gather(*first)] == [200, 200]
        assert (await asked(app))[0] == 200

    asyncio.run(run())


def test_all_bodies_together_are_bounded_until_the_work_on_them_has_ended():
    async def run() -> None:
        slow = Slow()
        limits = ServeConfig(threads=8, body=4_000, bodies=10_000)
        app = Limits(slow, limits)
        first = [asyncio.create_task(asked(app, body=bytes(4_000))) for _ in range(2)]
        for _ in range(8):
            await asyncio.sleep(0)
        status, headers = await asked(app, body=bytes(4_000))
        assert status == 429 and headers[b"retry-after"] == b"1"
        assert (await asked(app, body=bytes(4_002)))[0] == 413
        small = asyncio.create_task(asked(app, body=bytes(2_000)))
        for _ in range(8):
            await asyncio.sleep(0)
        assert (await asked(app, body=b"12"))[0] == 429
        slow.may.set()
        assert [(await each)[0] for each in (*first, small)] == [200, 200, 200]
        several = [asked(app, body=bytes(3_000)) for _ in range(3)]
        assert [status for status, _ in await asyncio.gather(*several)] == [200, 200, 200]

    asyncio.run(run())


def test_what_takes_too_long_is_told_and_keeps_its_place_until_it_is_done():
    async def run() -> None:
        slow = Slow()
        app = Limits(slow, ServeConfig(threads=1, waiting=0, seconds=0.01))
        assert (await asked(app))[0] == 504
        assert (await asked(app))[0] == 429
        slow.may.set()
        while not slow.finished:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (await asked(app))[0] == 200

    asyncio.run(run())


def test_texts_of_many_threads_are_encoded_as_if_alone(sentences):
    shared = BatchedTexts(sentences)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: shared.encode([text]).vectors, CAPTIONS))
    alone = sentences.encode(CAPTIONS).vectors
    np.testing.assert_allclose(np.concatenate(found), alone, atol=1e-4)


def test_one_that_cannot_be_encoded_does_not_spoil_the_others(sentences):
    shared = BatchedTexts(sentences)
    with ThreadPoolExecutor(8) as pool:
        asked_for = [pool.submit(shared.encode, [text]) for text in [*CAPTIONS, 7, *CAPTIONS]]
    errors = [future.exception() for future in asked_for]
    assert errors[len(CAPTIONS)] is not None
    assert sum(error is None for error in errors) == 2 * len(CAPTIONS)


def test_a_copy_encodes_too(sentences):
    found = copy(BatchedTexts(sentences)).encode(CAPTIONS[:2])
    np.testing.assert_array_equal(found.vectors, sentences.encode(CAPTIONS[:2]).vectors)
