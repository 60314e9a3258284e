"""Sending large blobs in chunks: to real registries, and to servers that say what they like.

Chunks are small here; that is all that differs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborRefusedError,
    MissingContentError,
)
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.chunks import Kept
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.upload_files import UploadFiles
from tests.core.rig import fast_session, registry_login, with_another_end
from tests.cut_line import CutLine
from tests.double import HarborDouble
from tests.go_programs import require_go_program
from tests.hostile_server import Asked, HostileServer, Said
from tests.registry_server import PlainRegistry
from tests.s3_server import S3Server

CHUNK = 400_000
SIZE = 5 * CHUNK + 1
CONTENT = os.urandom(SIZE)
DIGEST = digest_of(CONTENT)
UNKNOWN = '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}'


class Source:
    """What a blob is read from; it says from which byte on it was read."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.opened: list[int] = []

    def blocks(self, offset: int) -> Iterator[bytes]:
        self.opened.append(offset)
        for start in range(offset, len(self.content), 50_000):
            yield self.content[start : start + 50_000]

    def reader(self) -> BlobReader:
        return BlobReader(self.blocks(0), DIGEST, SIZE, "the source", self.blocks)


class ChunkServer:
    """A registry that takes chunks, each part of which a test can change.

    Attributes:
        chunks: First byte and length of each chunk that came, in order.
        stored: What it has stored.
    """

    def __init__(self) -> None:
        self.uploads: list[bytearray] = []
        self.chunks: list[tuple[int, int]] = []
        self.stored: dict[str, bytes] = {}
        self.puts = 0

    def say(self, asked: Asked) -> Said:
        if asked.path == "/v2/":
            return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {}
        if asked.method == "HEAD":
            return (404, {}, b"") if asked.path[-71:] not in self.stored else self.has(asked)
        number = re.search(r"/uploads/(\d+)", asked.path)
        if number and int(number[1]) >= len(self.uploads):
            return 404, {"Content-Type": "application/json"}, UNKNOWN
        return getattr(self, asked.method.lower())(asked, int(number[1]) if number else 0)

    def has(self, asked: Asked) -> Said:
        return 200, {"Docker-Content-Digest": asked.path[-71:]}, b""

    def location(self, number: int) -> str:
        return f"/v2/p/app/blobs/uploads/{number}?_state=signed-{len(self.uploads[number])}"

    def range(self, number: int) -> str:
        return f"0-{max(len(self.uploads[number]) - 1, 0)}"

    def told(self, status: int, number: int) -> Said:
        headers = {"Location": self.location(number), "Range": self.range(number)}
        return status, headers, b""

    def post(self, asked: Asked, number: int) -> Said:
        self.uploads.append(bytearray())
        return self.told(202, len(self.uploads) - 1)

    def patch(self, asked: Asked, number: int) -> Said:
        first, last = map(int, asked.headers["Content-Range"].split("-"))
        assert last + 1 - first == len(asked.body)
        self.chunks.append((first, len(asked.body)))
        if first != len(self.uploads[number]):
            return 416, {}, b""
        self.uploads[number] += asked.body
        return self.told(202, number)

    def get(self, asked: Asked, number: int) -> Said:
        return self.told(204, number)

    def put(self, asked: Asked, number: int) -> Said:
        self.puts += 1
        digest = asked.path.rpartition("digest=")[2].replace("%3A", ":")
        content = bytes(self.uploads[number]) + asked.body
        if digest_of(content) != digest:
            said = '{"errors":[{"code":"DIGEST_INVALID","message":"it did not match"}]}'
            return 400, {"Content-Type": "application/json"}, said
        self.stored[digest] = content
        return 201, {}, b""


@contextmanager
def client_of(
    server: ChunkServer, kept: UploadFiles | None = None
) -> Iterator[tuple[RegistryClient, list[Asked]]]:
    with (
        HostileServer(server.say) as running,
        RegistryClient(running.url, session=fast_session(running.url)) as client,
    ):
        client.uploads.chunk_bytes = CHUNK
        client.uploads.kept = kept
        yield client, running.asked


def send(server: ChunkServer, source: Source | None = None) -> list[Asked]:
    with client_of(server) as (client, asked):
        client.put_blob("p/app", DIGEST, (source or Source()).reader())
        return asked


def test_a_large_blob_goes_in_chunks_and_a_small_one_at_once() -> None:
    server = ChunkServer()
    send(server)
    assert server.stored == {DIGEST: CONTENT}
    assert server.chunks == [(n * CHUNK, CHUNK) for n in range(5)] + [(5 * CHUNK, 1)]
    small = os.urandom(CHUNK)
    with client_of(server) as (client, asked):
        reader = BlobReader(iter([small]), digest_of(small), CHUNK, "x", lambda offset: iter([]))
        client.put_blob("p/app", digest_of(small), reader)
    assert [one.method for one in asked] == ["GET", "POST", "PUT"]


@pytest.mark.parametrize("least", [1, CHUNK + 7, 10 * SIZE, "nonsense", "-5", "0"])
def test_chunks_are_as_large_as_the_registry_wants_them(least: int | str) -> None:
    class Wanting(ChunkServer):
        def post(self, asked: Asked, number: int) -> Said:
            status, headers, body = super().post(asked, number)  # type: ignore[misc]
            return status, {**headers, "OCI-Chunk-Min-Length": str(least)}, body

    server = Wanting()
    send(server)
    assert server.stored == {DIGEST: CONTENT}
    wanted = max(CHUNK, least) if isinstance(least, int) else CHUNK
    assert all(size == min(wanted, SIZE - first) for first, size in server.chunks)


@pytest.mark.parametrize("status", [400, 404, 405, 411, 415, 416, 501])
def test_a_registry_that_takes_no_chunks_gets_all_at_once_and_is_not_asked_again(
    status: int,
) -> None:
    class Unable(ChunkServer):
        def patch(self, asked: Asked, number: int) -> Said:
            self.chunks.append((0, 0))
            return status, {}, b""

    server = Unable()
    with client_of(server) as (client, asked):
        for _ in range(2):
            client.put_blob("p/app", DIGEST, Source().reader())
    assert server.stored == {DIGEST: CONTENT}
    assert [one.method for one in asked].count("PATCH") == 1


def test_a_registry_that_forgets_each_upload_is_one_clear_error() -> None:
    class Forgetful(ChunkServer):
        def patch(self, asked: Asked, number: int) -> Said:
            if len(self.uploads[number]) >= 2 * CHUNK:
                return 404, {"Content-Type": "application/json"}, UNKNOWN
            return super().patch(asked, number)

    server, source = Forgetful(), Source()
    with pytest.raises(HarborNotFoundError, match="BLOB_UPLOAD_UNKNOWN"):
        send(server, source)
    assert len(server.uploads) == 4
    assert server.stored == {}


def test_a_registry_that_forgets_an_upload_once_gets_it_again() -> None:
    class Forgetting(ChunkServer):
        def patch(self, asked: Asked, number: int) -> Said:
            if number == 0 and len(self.uploads[number]) >= 2 * CHUNK:
                return 404, {"Content-Type": "application/json"}, UNKNOWN
            return super().patch(asked, number)

    server, source = Forgetting(), Source()
    send(server, source)
    assert server.stored == {DIGEST: CONTENT}
    assert source.opened == [0, 0]


def test_a_registry_that_forgets_an_upload_after_it_said_what_it_has_gets_it_again() -> None:
    """As distribution 2.8 does when it is still writing what came: seen 6 times in 150."""

    class Late(ChunkServer):
        is_written = True

        def patch(self, asked: Asked, number: int) -> Said:
            if not self.is_written:
                self.is_written = True
                return 404, {"Content-Type": "application/json"}, UNKNOWN
            if number == 0 and len(self.uploads[number]) == 2 * CHUNK:
                self.is_written = False
                return 503, {}, b""
            return super().patch(asked, number)

    server, source = Late(), Source()
    send(server, source)
    assert server.stored == {DIGEST: CONTENT}
    assert source.opened == [0, 0, 0]


LIES = {
    "less": lambda n: f"0-{n // 2}",
    "nothing": lambda n: "0-0",
    "more": lambda n: f"0-{n + 5}",
    "much more": lambda n: f"0-{10**17}",
    "nonsense": lambda n: "bytes */x",
    "with a unit": lambda n: f"bytes=0-{n - 1}",
    "no beginning": lambda n: f"5-{n - 1}",
    "no word": lambda n: "",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("is_always", [False, True], ids=["once", "always"])
def test_whatever_a_registry_says_it_has_nothing_wrong_is_stored(
    lie: Callable[[int], str], is_always: bool
) -> None:
    class Lying(ChunkServer):
        is_lying = True

        def range(self, number: int) -> str:
            if self.uploads[number] and self.is_lying:
                self.is_lying = is_always
                return lie(len(self.uploads[number]))
            return super().range(number)

    server = Lying()
    try:
        send(server)
    except HarborBackupError:
        assert is_always
        assert server.stored == {}
        assert len(server.uploads) <= 4
        assert len(server.chunks) <= 24
    else:
        assert server.stored == {DIGEST: CONTENT}


def test_a_chunk_that_fails_is_sent_again_from_where_the_registry_is() -> None:
    class Failing(ChunkServer):
        failed = 0

        def patch(self, asked: Asked, number: int) -> Said:
            if self.failed < 3 and len(self.uploads[number]) == CHUNK:
                self.failed += 1
                if self.failed == 2:  # it has taken a part of it, and says so when asked
                    self.uploads[number] += asked.body[:123_456]
                return 503, {"Retry-After": "1"}, b""
            return super().patch(asked, number)

    server, source = Failing(), Source()
    send(server, source)
    assert server.stored == {DIGEST: CONTENT}
    assert (CHUNK + 123_456, CHUNK) in server.chunks
    assert len(server.uploads) == 1
    assert len(source.opened) == 3


def test_a_registry_that_fails_for_ever_is_given_up() -> None:
    class Down(ChunkServer):
        def patch(self, asked: Asked, number: int) -> Said:
            self.chunks.append((0, 0))
            return 503, {}, b""

    server = Down()
    with pytest.raises(HarborBackupError, match="503"):
        send(server)
    assert len(server.chunks) <= 5


def test_a_digest_that_the_registry_finds_wrong_is_sent_once_more_and_then_an_error() -> None:
    class Spoiling(ChunkServer):
        def patch(self, asked: Asked, number: int) -> Said:
            said = super().patch(asked, number)
            self.uploads[number][0] = CONTENT[0] ^ 1
            return said

    server = Spoiling()
    with pytest.raises(HarborRefusedError, match="DIGEST_INVALID"):
        send(server)
    assert server.stored == {}
    assert len(server.uploads) == 2


@pytest.mark.parametrize("has_stored", [True, False])
def test_an_upload_whose_end_is_not_answered_as_one_counts_only_where_it_is_there(
    has_stored: bool,
) -> None:
    class Unsure(ChunkServer):
        def put(self, asked: Asked, number: int) -> Said:
            if has_stored:
                super().put(asked, number)
            return 404, {"Content-Type": "application/json"}, UNKNOWN

    server = Unsure()
    if has_stored:
        send(server)
        assert server.puts == 1
    else:
        with pytest.raises(HarborNotFoundError):
            send(server)


def test_what_goes_wrong_with_the_source_is_not_laid_to_the_registry() -> None:
    missing = MissingContentError(DIGEST, "the source")
    server = ChunkServer()

    def breaking(offset: int) -> Iterator[bytes]:
        yield CONTENT[: 2 * CHUNK]
        raise missing

    reader = BlobReader(breaking(0), DIGEST, SIZE, "x", breaking)
    with client_of(server) as (client, _), pytest.raises(MissingContentError) as caught:
        client.put_blob("p/app", DIGEST, reader)
    assert caught.value is missing
    assert len(server.uploads) == 1


def test_a_source_that_is_another_one_is_never_concluded() -> None:
    server = ChunkServer()
    with pytest.raises(DigestMismatchError):
        send(server, Source(with_another_end(CONTENT)))
    assert (server.stored, server.puts) == ({}, 0)


# -- what is kept for the next process


@pytest.fixture
def kept(tmp_path: Path) -> UploadFiles:
    return BackupStore(tmp_path / "store").uploads_to("http://registry.example.com")


def stopping_after(number: int) -> BlobReader:
    """Return a source that ends as a process that is killed does: with no word to anybody."""

    def blocks(offset: int) -> Iterator[bytes]:
        yield CONTENT[offset:number]
        raise KeyboardInterrupt

    return BlobReader(blocks(0), DIGEST, SIZE, "x", blocks)


def begin(server: ChunkServer, kept: UploadFiles, number: int = 2 * CHUNK + 5) -> None:
    """Send the start of the blob, until the process ends."""
    with client_of(server, kept) as (client, _), pytest.raises(KeyboardInterrupt):
        client.put_blob("p/app", DIGEST, stopping_after(number))


def go_on(server: ChunkServer, kept: UploadFiles) -> Source:
    source = Source()
    with client_of(server, kept) as (client, _):
        client.put_blob("p/app", DIGEST, source.reader())
    assert server.stored == {DIGEST: CONTENT}
    assert kept.read("p/app", DIGEST) is None
    return source


def test_the_next_process_goes_on_where_the_last_one_was(kept: UploadFiles) -> None:
    server = ChunkServer()
    begin(server, kept)
    assert go_on(server, kept).opened == [2 * CHUNK]
    assert len(server.uploads) == 1


def test_an_upload_that_lacks_only_its_end_gets_that(kept: UploadFiles) -> None:
    server = ChunkServer()
    begin(server, kept)
    server.uploads[0][:] = CONTENT
    kept.keep("p/app", DIGEST, Kept(server.location(0), SIZE))
    assert go_on(server, kept).opened == []


@pytest.mark.parametrize("has", [0, 2 * CHUNK - 1, 3 * CHUNK + 1, SIZE + 5])
def test_an_upload_that_is_not_as_it_was_left_begins_anew(kept: UploadFiles, has: int) -> None:
    server = ChunkServer()
    begin(server, kept)
    server.uploads[0][:] = bytes(has)
    assert go_on(server, kept).opened[-1] == 0
    assert len(server.uploads) == 2


def test_what_was_sent_before_is_verified_by_the_registry(kept: UploadFiles) -> None:
    """Nobody in this process has seen it: if the digest is wrong, all is sent once more."""
    server = ChunkServer()
    begin(server, kept)
    server.uploads[0][0] ^= 1
    assert go_on(server, kept).opened == [2 * CHUNK, 0]


def test_an_upload_that_the_registry_forgot_since_begins_anew(kept: UploadFiles) -> None:
    class Forgot(ChunkServer):
        def get(self, asked: Asked, number: int) -> Said:
            return 404, {"Content-Type": "application/json"}, UNKNOWN

    server = Forgot()
    begin(server, kept)
    assert go_on(server, kept).opened == [0] or len(server.uploads) == 2


SECRET = {
    "on another host": "https://elsewhere.example.com/upload?_state=Hush",
    "signed": "/v2/p/app/blobs/uploads/0?X-Amz-Signature=Hush",
    "with a token": "/v2/p/app/blobs/uploads/0?_state=x&access_token=Hush",
    "with a login": "http://me:Hush@elsewhere.example.com/upload",
}


@pytest.mark.parametrize("location", SECRET.values(), ids=SECRET)
def test_an_address_that_is_as_good_as_a_login_is_never_kept(
    kept: UploadFiles, tmp_path: Path, location: str
) -> None:
    class Elsewhere(ChunkServer):
        def location(self, number: int) -> str:
            # Where nobody listens; after the first chunk.
            return location if self.uploads[number] else super().location(number)

    with client_of(Elsewhere(), kept) as (client, _):
        client._session._max_attempts = 1
        with pytest.raises((HarborBackupError, KeyboardInterrupt)) as caught:
            client.put_blob("p/app", DIGEST, stopping_after(CHUNK + 5))
    assert "Hush" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"{",
        b'{"format_version": 9}',
        b'{"format_version": 1, "repository": "p/app"}',
        b'{"format_version": 1, "repository": "p/app", "digest": "%b", "offset": 1, "location": '
        b'"//elsewhere.example.com/x", "kept_at": "2999-01-01T00:00:00+00:00"}' % DIGEST.encode(),
        b'{"format_version": 1, "repository": "p/app", "digest": "%b", "offset": "1", "location": '
        b'"/x", "kept_at": "2999-01-01T00:00:00+00:00"}' % DIGEST.encode(),
        b'{"format_version": 1, "repository": "p/app", "digest": "%b", "offset": 1, "location": '
        b'"/x", "kept_at": "2020-01-01T00:00:00+00:00"}' % DIGEST.encode(),
    ],
)
def test_what_cannot_be_read_of_an_upload_counts_as_nothing(
    kept: UploadFiles, tmp_path: Path, spoiled: bytes
) -> None:
    kept.keep("p/app", DIGEST, Kept("/v2/x?_state=y", 5))
    (path,) = (tmp_path / "store" / "uploads").rglob("*.json")
    assert kept.read("p/app", DIGEST) == Kept("/v2/x?_state=y", 5)
    assert kept.read("p/other", DIGEST) is None
    path.write_bytes(spoiled)
    assert kept.read("p/app", DIGEST) is None


# -- real registries


@pytest.fixture(params=["2.8", "3", "harbor"])
def registry(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, RegistryClient, Callable[[], bytes | None]]]:
    """Each kind of registry: which, a login, and what returns what it has stored."""
    if request.param == "harbor":
        double: HarborDouble = request.getfixturevalue("harbor")
        double.create_project("p")
        client = registry_login(double)

        def stored() -> bytes | None:
            with client.open_blob("p/app", DIGEST, SIZE) as reader:
                return b"".join(iter(lambda: reader.read(100_000), b""))

        yield "harbor", client, stored
        return
    program = require_go_program("registry") if request.param == "3" else ""
    (tmp_path / "registry").mkdir()
    with PlainRegistry(tmp_path / "registry", program) as running:
        client = RegistryClient(running.url, session=fast_session(running.url))
        yield request.param, client, lambda: running.read_blob(DIGEST)


def test_real_registries_take_chunks(
    registry: tuple[str, RegistryClient, Callable[[], bytes | None]],
) -> None:
    _, client, stored = registry
    client.uploads.chunk_bytes = CHUNK
    client.put_blob("p/app", DIGEST, Source().reader())
    assert client.uploads.takes_chunks
    assert stored() == CONTENT


def test_what_real_registries_have_of_a_chunk_that_was_cut(
    registry: tuple[str, RegistryClient, Callable[[], bytes | None]],
) -> None:
    """The newer one says how much; the older one, which is Harbor's, forgets the upload.

    Either may still be writing what had come when it is asked first. The newer one has more then,
    and the older one forgets the upload only when it is gone on with.
    """
    kind, client, stored = registry
    source = Source()
    with CutLine(client.url, up_bytes=3 * CHUNK + CHUNK // 2, most_cuts=1) as line:
        cut = RegistryClient(line.url, client.user, "Harbor12345", session=fast_session(line.url))
        cut.uploads.chunk_bytes = CHUNK
        with cut:
            cut.put_blob("p/app", DIGEST, source.reader())
        assert line.cuts == 1
        assert stored() == CONTENT
        if kind == "3":
            assert line.up < SIZE + CHUNK + 20_000  # of heads
            assert len(source.opened) in (2, 3)
        else:
            assert source.opened in ([0, 0], [0, 0, 0])


def test_a_line_that_breaks_for_ever_is_given_up(
    registry: tuple[str, RegistryClient, Callable[[], bytes | None]],
) -> None:
    _, client, _ = registry
    with CutLine(client.url, up_bytes=10_000) as line:
        cut = RegistryClient(line.url, client.user, "Harbor12345", session=fast_session(line.url))
        cut.uploads.chunk_bytes = CHUNK
        with cut, pytest.raises((HarborConnectionError, HarborNotFoundError)):
            cut.put_blob("p/app", DIGEST, Source().reader())
        assert line.cuts < 200
    assert not client.has_blob("p/app", DIGEST, SIZE)


# -- on another host


def test_chunks_go_to_another_host_without_the_login_and_that_is_not_kept(
    kept: UploadFiles, tmp_path: Path
) -> None:
    class Handing(ChunkServer):
        def say(self, asked: Asked) -> Said:
            if asked.path == "/v2/" and "Authorization" not in asked.headers:
                return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
            return super().say(asked)

        def location(self, number: int) -> str:
            # The same server, by another name of it.
            return running.url.replace("127.0.0.1", "localhost") + super().location(number)

        def patch(self, asked: Asked, number: int) -> Said:
            if len(self.chunks) == 2:
                assert list(tmp_path.rglob("*.json")) == []
            return super().patch(asked, number)

    server = Handing()
    with HostileServer(server.say) as running:
        session = fast_session(running.url)
        with RegistryClient(running.url, "me", "Hush-Hush1", session=session) as client:
            client.uploads.chunk_bytes = CHUNK
            client.uploads.kept = kept
            client.put_blob("p/app", DIGEST, Source().reader())
    assert server.stored == {DIGEST: CONTENT}
    logged_in = {one.method: "Authorization" in one.headers for one in running.asked[1:]}
    assert logged_in == {"POST": True, "PATCH": False, "PUT": False}


def test_who_may_not_delete_backs_up_all_the_same(s3: S3Server) -> None:
    """What is known of an upload that is over stays then, until prune takes it."""
    bucket = s3.new_bucket()
    writer = BackupStore(f"s3://{bucket}", **s3.add_writer(bucket))
    kept = writer.uploads_to("http://registry.example.com")
    server = ChunkServer()
    with client_of(server, kept) as (client, _):
        client.put_blob("p/app", DIGEST, Source().reader())
        assert kept.read("p/app", DIGEST) is not None
        server.uploads.clear()
        server.stored.clear()
        client.put_blob("p/app", DIGEST, Source().reader())
    assert server.stored == {DIGEST: CONTENT}
