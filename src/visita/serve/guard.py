"""Who may ask: the first that each request meets, before any of it is read.

- The Host has to be one of ours, so that no foreign name can be pointed at this machine (DNS
  rebinding).
- With a token, ``Authorization: Bearer TOKEN`` has to bring it, or the cookie that a browser gets
  from ``/?token=TOKEN``.
- What is no GET needs the header ``X-Visita: 1``, which a page of another origin cannot send.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response

from visita.serve.config import ServeConfig
from visita.serve.problems import problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEADER = "X-Visita"
COOKIE = "visita-token"
READING = {"GET", "HEAD", "OPTIONS"}
OPEN = {"/api/v1/health"}
"""What needs no token."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Lets through only who may ask, and puts the headers of security on every answer."""

    def __init__(self, app: App, config: ServeConfig) -> None:
        self._app = app
        self._token = config.token
        self._names = {"localhost", *(name.lower() for name in config.hosts)}
        self._origins = config.origins

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                _secure(MutableHeaders(scope=message))
            await send(message)

        refusal = self._refusal(scope, headers)
        await (refusal or self._app)(scope, receive, secured)

    def _refusal(self, scope: Message, headers: Headers) -> Response | None:
        if not self._is_ours(headers.get("host", "")):
            return problem(
                400, "The service is not asked by this name: add it to the setting 'hosts'."
            )
        if scope["method"] == "OPTIONS" and headers.get("origin") in self._origins:
            return None
        if self._token and scope["path"] not in OPEN:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and self._fits(given):
                return self._welcome()
            if not (self._fits(_bearer(headers)) or self._fits(_cookie(headers))):
                return problem(
                    401, "The service needs its token.", headers={"WWW-Authenticate": "Bearer"}
                )
        if scope["method"] not in READING and headers.get(HEADER) != "1":
            return problem(403, f"A request that is no GET needs the header  {HEADER}: 1")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ip_address(name)
        except ValueError:
            return name in self._names
        return True  # only a name can be pointed elsewhere

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())

    def _welcome(self) -> Response:
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, self._token or "", httponly=True, samesite="strict")
        return answer


def _bearer(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _secure(headers: MutableHeaders) -> None:
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
