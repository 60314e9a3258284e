"""A client for tests of the double: sends what it is told, keeps no cookies, raises nothing."""

from __future__ import annotations

from typing import Any

import requests

from tests.double import HarborDouble
from tests.double.content import INDEX_TYPES, digest_of

API = "/api/v2.0"
ACCEPT = ", ".join(
    (
        *INDEX_TYPES,
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
OCTETS = {"Content-Type": "application/octet-stream"}


class Client:
    """Requests of one login; without one they are anonymous."""

    def __init__(self, harbor: HarborDouble, user: str | None = None, password: str = "") -> None:
        self.url = harbor.url
        self.auth = None if user is None else (user, password)

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else self.url + path
        options.setdefault("auth", self.auth)
        return requests.request(method, url, timeout=120, allow_redirects=False, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.send("GET", path, **options)

    def api(self, path: str, **headers: str) -> Any:
        """Return the JSON of a REST path that has to be answered with 200."""
        answer = self.send("GET", API + path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def manifest(self, repository: str, reference: str, **headers: str) -> requests.Response:
        headers = {"Accept": ACCEPT, **headers}
        return self.send("GET", f"/v2/{repository}/manifests/{reference}", headers=headers)

    def put_manifest(self, repository: str, reference: str, content: Any) -> requests.Response:
        headers = {"Content-Type": content.media_type}
        path = f"/v2/{repository}/manifests/{reference}"
        return self.send("PUT", path, data=content.manifest, headers=headers)

    def start_upload(self, repository: str) -> str:
        answer = self.send("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def put_blob(self, repository: str, data: bytes) -> requests.Response:
        target = f"{self.start_upload(repository)}&digest={digest_of(data)}"
        return self.send("PUT", target, data=data, headers=OCTETS)


def error_of(answer: requests.Response) -> tuple[int, str, str]:
    """Return status, code and message of an answer that is an error."""
    error = answer.json()["errors"][0]
    return answer.status_code, error["code"], error["message"]


def tag_names(artifact: dict[str, Any]) -> list[str]:
    return sorted(tag["name"] for tag in artifact["tags"] or [])
