"""Agents ask through the SDK's own client, over stdio, and get what the library says."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys

import anyio
import pytest
from PIL import Image

import visita

mcp = pytest.importorskip("mcp")
TEXT = "a red circle on a blue background"


@pytest.mark.slow
def test_agents_search_match_explain_and_recommend(drawn_folder, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(0, 8, 2):
        shutil.copy(drawn_folder / f"{number:05d}.jpg", folder)
    gallery = visita.Gallery.open(folder, home=tmp_path)
    gallery.sync()
    words = ["-m", "visita", "mcp", str(folder), "--gallery", str(tmp_path)]
    server = mcp.StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))

    async def talk() -> None:
        async with mcp.stdio_client(server) as streams, mcp.ClientSession(*streams) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert {tool.name for tool in tools} == {"search", "match", "explain", "recommend"}
            assert all(tool.annotations.read_only_hint for tool in tools)
            told, *pictures = await called(session, "search", text=TEXT, k=2)
            found = json.loads(told.text)["matches"]
            assert [m["path"] for m in found] == [str(m.path) for m in gallery.search(TEXT, k=2)]
            assert len(pictures) == 2
            small = Image.open(io.BytesIO(base64.b64decode(pictures[0].data)))
            assert small.format == "JPEG" and max(small.size) <= 320
            one = {"gallery": found[0]["gallery"], "picture": found[0]["id"], "text": TEXT}
            [fit] = await called(session, "match", **one)
            pair = gallery.finder.match(found[0]["path"], TEXT)
            assert json.loads(fit.text)["match"] == pair.match
            [why] = await called(session, "explain", **one)
            assert len(json.loads(why.text)["heat"]) == 5
            article, *_ = await called(session, "recommend", article=f"It rained. {TEXT}.", k=1)
            assert json.loads(article.text)["matches"][0]["passage"].startswith("a red")
            wrong = await session.call_tool("match", {**one, "picture": "/etc/passwd"})
            assert wrong.is_error and "root:" not in wrong.content[0].text

    anyio.run(talk)


async def called(session, tool: str, **arguments: object) -> list:
    answer = await session.call_tool(tool, arguments)
    assert not answer.is_error, answer
    return answer.content
