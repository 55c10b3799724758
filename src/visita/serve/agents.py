"""The agents' door: search, match, recommend and explain as tools of the Model Context Protocol.

Over stdio, by the official SDK. Nothing is changed by any tool. Pictures are named by gallery and
id, as by the service, and come as thumbnails beside the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import Image, MCPServer
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from visita.errors import VisitaError
from visita.serve import models, reasons, searching
from visita.serve.config import ServeConfig
from visita.serve.encode import SharedFinder
from visita.serve.library import Library
from visita.serve.pictures import thumbnail

INSTRUCTIONS = (
    "Finds pictures on this machine by what they show. A probability from 0.5 on means that the "
    "picture more likely than not is what was asked for; below that, say that nothing was found."
)
MOST = 20
"""Pictures of one answer, each of which comes as a thumbnail."""
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
Count = Annotated[int, Field(ge=1, le=MOST)]
GalleryId = Annotated[str, Field(description="The gallery of a picture, as a search tells it.")]
PictureId = Annotated[str, Field(description="The id of a picture, as a search tells it.")]
Answer = list[str | Image]


def agents_server(library: Library) -> MCPServer:
    """Return what answers agents, over galleries that are in step."""
    server = MCPServer("visita", instructions=INSTRUCTIONS, log_level="WARNING")
    pixels = ServeConfig().pixels

    @server.tool(annotations=READS, structured_output=False)
    def search(text: models.Text, k: Count = 5) -> Answer:
        """Find the pictures that show what a text says, best first."""
        asked = models.SearchRequest(text=text, k=k)
        return _shown(library, searching.answer(library, asked, pixels))

    @server.tool(annotations=READS, structured_output=False)
    def recommend(article: str, k: Count = 5) -> Answer:
        """Find pictures for an article of any length, each with the passage that it fits."""
        asked = models.RecommendRequest(article=article, k=k)
        return _shown(library, reasons.recommendation(library, asked, None))

    @server.tool(annotations=READS, structured_output=False)
    def match(gallery: GalleryId, picture: PictureId, text: models.Text) -> str:
        """Tell whether a picture and a text fit, and how probably."""
        return _json(reasons.match(library, _asked(gallery, picture, text), pixels))

    @server.tool(annotations=READS, structured_output=False)
    def explain(gallery: GalleryId, picture: PictureId, text: models.Text) -> str:
        """Tell where in a picture, by which words and kernels its score with a text comes about."""
        return _json(reasons.explanation(library, _asked(gallery, picture, text), pixels))

    return server


def serve_agents(folders: Sequence[Path], matcher: str, home: Path | None) -> None:
    """Answer agents on stdin and stdout until stdin ends.

    Raises
    ------
    VisitaError
        If there is no such folder or matcher.
    """
    library = Library(folders, SharedFinder(matcher), matcher, home=home)
    library.start()
    agents_server(library).run("stdio")


def _asked(gallery: str, picture: str, text: str) -> models.MatchRequest:
    return models.MatchRequest(picture=models.Given(gallery=gallery, id=picture), text=text)


def _shown(library: Library, answer: models.SearchAnswer | models.RecommendAnswer) -> Answer:
    pictures = [_thumbnail(library, match) for match in answer.matches]
    return [_json(answer), *filter(None, pictures)]


def _thumbnail(library: Library, match: models.Found) -> Image | None:
    try:
        content = thumbnail(library.of(match.gallery).shelf, match.id, "320")
    except VisitaError:  # the path is told all the same
        return None
    return Image(data=content, format="jpeg")


def _json(answer: BaseModel) -> str:
    return answer.model_dump_json()
