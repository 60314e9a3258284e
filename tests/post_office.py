"""Where messages arrive in tests: a mail server and a webhook, on ports of loopback."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class PostOffice:
    """What has arrived.

    Attributes:
        mails: In the order of their arrival.
        posts: What was posted to the webhook: bodies of JSON.
        smtp, webhook: Connections of Airflow to the two servers, as JSON.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.posts: list[dict[str, Any]] = []
        self.smtp = self.webhook = ""

    def texts(self) -> list[str]:
        """Return the HTML part of each mail."""
        bodies = [mail.get_body(("html",)) for mail in self.mails]
        return [str(body.get_content()) for body in bodies if body]


@contextmanager
def running_post_office() -> Iterator[PostOffice]:
    """Start both servers, and stop them at the end of the block."""
    office = PostOffice()
    mail = _MailServer(("127.0.0.1", 0), _MailSession)
    web = _WebServer(("127.0.0.1", 0), _Webhook)
    mail.office = web.office = office
    office.smtp = json.dumps(
        {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": mail.server_address[1],
            "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "backup@example.com"},
        }
    )
    url = f"http://127.0.0.1:{web.server_address[1]}"
    office.webhook = json.dumps({"conn_type": "http", "host": url})
    threads = [
        threading.Thread(target=server.serve_forever, args=(0.05,)) for server in (mail, web)
    ]
    for thread in threads:
        thread.start()
    try:
        yield office
    finally:
        for server, thread in zip((mail, web), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    office: PostOffice


class _MailSession(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs that logs in nowhere."""

    server: _MailServer

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            verb = line.split(b" ")[0].strip().upper()
            if verb == b"DATA":
                self._say("354 go on")
                content = b"".join(iter(self.rfile.readline, b".\r\n"))
                mail = email.message_from_bytes(content, policy=email.policy.default)
                assert isinstance(mail, EmailMessage)
                self.server.office.mails.append(mail)
            self._say("221 bye" if verb == b"QUIT" else "250 yes")
            if verb == b"QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _WebServer(ThreadingHTTPServer):
    office: PostOffice


class _Webhook(BaseHTTPRequestHandler):
    server: _WebServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.office.posts.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return
