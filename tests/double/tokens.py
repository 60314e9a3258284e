"""Registry tokens: made by the token service, believed by /v2/."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

ISSUER, SERVICE = "harbor-token-issuer", "harbor-registry"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(secret: bytes, text: str) -> str:
    return _encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def make_token(
    secret: bytes, minutes: int, subject: str, access: list[dict[str, Any]], now: int
) -> dict[str, Any]:
    """Return the answer of the token service; `now` is the double's time, in seconds.

    Signed with HS256, where Harbor uses RS256: nobody but the double itself verifies it.
    """
    lifetime = minutes * 60
    claims = {
        "iss": ISSUER, "sub": subject, "aud": SERVICE, "exp": now + lifetime, "nbf": now,
        "iat": now, "jti": str(uuid.uuid4()), "access": access,
    }  # fmt: skip
    text = ".".join(
        _encoded(json.dumps(part, separators=(",", ":")).encode())
        for part in ({"typ": "JWT", "alg": "HS256"}, claims)
    )
    return {
        "token": f"{text}.{_signature(secret, text)}",
        "access_token": "",
        "expires_in": lifetime,
        "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
    }


def read_token(secret: bytes, token: str) -> dict[str, Any] | None:
    """Return the claims of a token that was made here and has not expired."""
    text, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, text).encode()):
        return None
    payload = text.partition(".")[2]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims if claims["exp"] + 60 > time.time() else None
