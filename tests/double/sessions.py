"""What browsers do: log in with a form, keep cookies, send a token with all that they write."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from urllib.parse import parse_qs

from starlette.responses import Response

from .access import log_in
from .state import State
from .wire import HarborError, Request

SAFE = ("GET", "HEAD", "OPTIONS")
TOKEN = "X-Harbor-CSRF-Token"
COOKIE = "_gorilla_csrf"
FOR_PROGRAMS = re.compile(r"^/(v2|api|service)/")


class Csrf:
    """The token that a request of a browser has to send with what it writes.

    Programs are spared as long as they send no session cookie. The token belongs to a cookie of
    its own, so it survives the login, which gives a new session.
    """

    def __init__(self, state: State, request: Request) -> None:
        self._secret = state.secret
        self._sent = request.headers.get(TOKEN.lower())
        self.guarded = "sid" in request.cookies or not FOR_PROGRAMS.match(request.raw_path)
        self._writes = request.method not in SAFE
        cookie = request.cookies.get(COOKIE, "")
        base, _, signature = cookie.partition(".")
        self._is_new = not hmac.compare_digest(signature, self._sign(base))
        self._base = secrets.token_hex(16) if self._is_new else base

    def check(self) -> None:
        if not self.guarded or not self._writes:
            return
        if self._sent is None:
            raise HarborError(403, "FORBIDDEN", "CSRF token not found in request")
        if not hmac.compare_digest(self._sent.encode(), self._token.encode()):
            raise HarborError(403, "FORBIDDEN", "CSRF token invalid")

    def attach(self, response: Response, secure: str) -> None:
        """Give the token with an answer, and its cookie where the client has none."""
        if not self.guarded:
            return
        response.headers[TOKEN] = self._token
        if self._is_new:
            cookie = f"{COOKIE}={self._base}.{self._sign(self._base)}"
            response.headers.append("Set-Cookie", f"{cookie}; Path=/; HttpOnly{secure}")

    @property
    def _token(self) -> str:
        return self._sign("token of " + self._base)

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def session_cookie(sid: str, secure: str) -> str:
    return f"sid={sid}; Path=/; HttpOnly{secure}"


async def answer(state: State, request: Request) -> Response | None:
    """Answer for the login form and the way out, or return None for other paths."""
    what = (request.method, request.raw_path)
    if what == ("POST", "/c/login"):
        form = parse_qs((await request.body()).decode())
        name, password = (form.get(key, [""])[0] for key in ("principal", "password"))
        if state.login_seconds and name in state.users:
            await asyncio.sleep(state.login_seconds)
        user = log_in(state, name, password)
        if user is None:
            return Response(status_code=401)
        sid = secrets.token_hex(16)
        state.sessions.pop(request.cookies.get("sid", ""), None)
        state.sessions[sid] = user.name
        secure = "; Secure" if request.scheme == "https" else ""
        response = Response(status_code=200)
        response.headers.append("Set-Cookie", session_cookie(sid, secure))
        return response
    if what == ("GET", "/c/log_out"):
        state.sessions.pop(request.cookies.get("sid", ""), None)
        return Response(status_code=200)
    return None
