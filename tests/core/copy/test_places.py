"""What every place keeps: a store in a directory or on S3, a Harbor, a registry of any kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    IntegrityError,
    MissingContentError,
)
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Descriptor, Manifest, digest_of
from tests.double.content import Content, Image

MIB = 1024 * 1024
APP = "p/app"


@pytest.fixture(autouse=True)
def prepared(place: Place) -> None:
    place.prepare("p")
    place.prepare("p")


def described(content: bytes) -> Descriptor:
    return Descriptor(digest=digest_of(content), size_bytes=len(content))


def blocks_of(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), 100_000):
        yield content[at : at + 100_000]


def reader(content: bytes, blob: Descriptor) -> BlobReader:
    """Return a stream of some content, which is verified on its way as in every copy."""
    return BlobReader(blocks_of(content), blob.digest, blob.size_bytes, "the source")


class Unverified:
    """A stream that does not care what it is."""

    def __init__(self, content: bytes, blob: Descriptor) -> None:
        self._size = blob.size_bytes
        self._rest = content

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        size = len(self._rest) if size < 0 else size
        block, self._rest = self._rest[:size], self._rest[size:]
        return block


def put_blob(place: Place, content: bytes, repository: str = APP) -> Descriptor:
    blob = described(content)
    place.put_blob(repository, blob, reader(content, blob))
    return blob


def read_blob(place: Place, blob: Descriptor, repository: str = APP) -> bytes:
    with place.open_blob(repository, blob) as stream:
        return b"".join(iter(lambda: stream.read(64 * 1024), b""))


def record_of(content: Content, repository: str = APP) -> Record:
    return Record(
        project="p",
        repository=repository,
        digest=content.digest,
        role=Role.ARTIFACT,
        media_type=content.media_type,
    )


def manifest_of(content: Content) -> Manifest:
    return Manifest.from_bytes(content.manifest, content.media_type, "a test")


def put_image(place: Place, image: Content, reference: str = "", repository: str = APP) -> Record:
    for blob in image.blobs.values():
        put_blob(place, blob, repository)
    place.put_manifest(repository, reference or image.digest, manifest_of(image))
    return record_of(image, repository)


def assert_nothing_left(place: Place) -> None:
    """A store has no file but what is whole, hidden ones included."""
    if isinstance(place, StorePlace):
        files = place.store.files
        assert list(files.iter_files("blobs")) == []
        if root := files.local_path("blobs"):
            assert [path for path in root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("size", [1, 4 * MIB, 12 * MIB + 1])
def test_a_blob_is_read_as_it_was_put(place: Place, size: int) -> None:
    content = os.urandom(size)
    assert not place.has_blob(APP, described(content))
    blob = put_blob(place, content)
    assert place.has_blob(APP, blob)
    assert read_blob(place, blob) == content


def test_a_blob_may_be_empty(place: Place) -> None:
    blob = put_blob(place, b"")
    assert place.has_blob(APP, blob)


def test_a_manifest_is_read_byte_for_byte(place: Place) -> None:
    image = Image("app", layers=2)
    record = record_of(image)
    assert place.find_manifest(record) is None
    put_image(place, image)
    assert place.get_manifest(record) == manifest_of(image)
    assert place.find_manifest(record) == manifest_of(image)


def test_a_tag_names_what_was_put_under_it_last(place: Place) -> None:
    first, second = Image("first"), Image("second")
    put_image(place, first, "1.0" if place.keeps_tags else "")
    assert place.names(APP, "1.0", first.digest) is place.keeps_tags
    put_image(place, second, "1.0" if place.keeps_tags else "")
    assert place.names(APP, "1.0", second.digest) is place.keeps_tags
    assert not place.names(APP, "1.0", first.digest)
    assert place.find_manifest(record_of(first)), "what lost its tag is there by its digest"


def test_putting_again_what_is_there_does_no_harm(place: Place) -> None:
    image = Image("app")
    for _ in range(2):
        record = put_image(place, image)
    assert place.get_manifest(record).content == image.manifest


# -- what is not whole, or not right, never shows


@pytest.mark.parametrize("size", [1000, 12 * MIB], ids=["small", "large"])
@pytest.mark.parametrize("make", [reader, Unverified], ids=["verified", "unverified"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="another"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut"),
        pytest.param(lambda content: content + b"more", id="longer"),
    ],
)
def test_what_is_not_what_its_digest_says_never_shows(
    place: Place,
    size: int,
    make: Callable[[bytes, Descriptor], BlobReader],
    spoil: Callable[[bytes], bytes],
) -> None:
    if make is Unverified and not isinstance(place, StorePlace) and len(spoil(b"ab")) != 2:
        return  # HTTP itself says how long a body is
    content = os.urandom(size)
    blob = described(content)
    with pytest.raises(HarborBackupError):
        place.put_blob(APP, blob, make(spoil(content), blob))
    assert not place.has_blob(APP, blob)
    assert_nothing_left(place)
    put_blob(place, content)
    assert read_blob(place, blob) == content


@pytest.mark.parametrize("size", [1000, 12 * MIB], ids=["small", "large"])
@pytest.mark.parametrize("at", [0, 0.5, 1])
def test_a_source_that_fails_on_the_way_leaves_nothing(place: Place, size: int, at: float) -> None:
    content = os.urandom(size)
    blob = described(content)

    def breaking() -> Iterator[bytes]:
        yield from blocks_of(content[: int(size * at)])
        raise HarborConnectionError("the source went away")

    # As in a copy: what comes is one byte short of whole, and then breaks.
    wanted = Descriptor(digest=blob.digest, size_bytes=size + 1)
    with pytest.raises(HarborConnectionError, match="the source went away"):
        place.put_blob(APP, blob, BlobReader(breaking(), blob.digest, wanted.size_bytes, "x"))
    assert not place.has_blob(APP, blob)
    assert_nothing_left(place)


def test_a_manifest_that_is_not_what_its_digest_says_never_shows(place: Place) -> None:
    image, other = Image("app"), Image("other")
    for content in image.blobs.values():
        put_blob(place, content)
    with pytest.raises(HarborBackupError):
        place.put_manifest(APP, other.digest, manifest_of(image))
    assert place.find_manifest(record_of(other)) is None


# -- what is not there


def test_what_is_not_there_is_told(place: Place) -> None:
    put_image(place, Image("app"))
    missing = Image("missing")
    with pytest.raises((MissingContentError, HarborNotFoundError)):
        place.get_manifest(record_of(missing))
    with pytest.raises(MissingContentError) as caught, place.open_blob(APP, described(b"nothing")):
        pass
    assert caught.value.digest == digest_of(b"nothing")


def test_a_blob_of_another_size_is_not_the_one(place: Place) -> None:
    content = b"some content"
    put_blob(place, content)
    with (
        pytest.raises(IntegrityError),
        place.open_blob(APP, Descriptor(digest=digest_of(content), size_bytes=13)) as stream,
    ):
        stream.read()


def test_nothing_is_known_of_an_empty_project(place: Place) -> None:
    view = place.look_at("p", {}, workers=2)
    held = view.find([(APP, [record_of(Image("app"))])])[APP]
    assert not held.digests
    assert not held.error


# -- several at once


def test_a_blob_is_taken_over_from_another_repository(place: Place) -> None:
    image = Image("app", layers=3)
    put_image(place, image)
    for content in image.blobs.values():
        assert place.take_over("p/other", digest_of(content), APP)
        assert place.has_blob("p/other", described(content))
    place.put_manifest("p/other", image.digest, manifest_of(image))
    assert place.get_manifest(record_of(image, "p/other")).content == image.manifest


def test_one_blob_may_be_put_by_many_at_once(place: Place) -> None:
    content = os.urandom(6 * MIB)
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(put_blob, place, content) for _ in range(6)]:
            done.result()
    assert read_blob(place, described(content)) == content


def test_one_repository_may_be_filled_by_many_at_once(place: Place) -> None:
    # A layer that they share is sent once by a copy; distribution 2.8 answers 400 now and then to
    # a manifest whose layer somebody sends again at that very moment.
    images = [Image(f"app {number}", layers=[90, 100]) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda image: put_image(place, image), images))
    for image, record in zip(images, records, strict=True):
        assert place.get_manifest(record).content == image.manifest
        for content in image.blobs.values():
            assert read_blob(place, described(content)) == content
