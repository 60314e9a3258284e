"""A sample that looks like the registry of a company: what `--sample` fills the double with.

Eight projects with some 35 repositories. In it is what registries in use hold: multi-architecture
images with attestations, images of the old Docker format, an index of indexes, Helm charts,
signatures and bills of materials (one of them signed itself), a model that is no image, tags that
moved on and left untagged artifacts behind, one artifact with many tags, base layers that many
repositories share, an empty project, and a project whose name is a number. It is the same in each
run, times included.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from .content import (
    DOCKER_MANIFEST,
    Content,
    Image,
    Index,
    attestation_for,
    cosign_signature,
    helm_chart,
    layer,
    multi_arch,
    referrer,
    sbom_for,
)
from .state import State

PROJECTS = {
    "base": True, "charts": False, "data": False, "mobile": False, "platform": False,
    "sandbox": False, "shop": False, "2024": False,
}  # fmt: skip
START = 1_767_600_000_000  # 2026-01-05; a push follows every four hours
STEP = 4 * 3600 * 1000
ARCHITECTURES = ("amd64", "arm64")

Push = tuple[str, Content, tuple[str, ...]]


@cache
def base_layers(name: str, architecture: str) -> tuple[bytes, ...]:
    """Return the layers of a base image, which all images built on it share."""
    system = layer(f"debian/{architecture}", 1_500_000)
    return (system,) if name == "debian" else (system, layer(f"{name}/{architecture}", 900_000))


def application(base: str, name: str, *, attested: bool = True) -> Index:
    """Return a multi-architecture image on a base, as buildx makes it."""
    images = [
        Image(
            f"{name}/{architecture}",
            architecture=architecture,
            variant="v8" if architecture == "arm64" else None,
            layers=[*base_layers(base, architecture), 48_000, 9_000],
            annotations={"org.opencontainers.image.base.name": f"base/{base}"},
        )
        for architecture in ARCHITECTURES
    ]
    attestations = [attestation_for(image) for image in images] if attested else []
    return Index(*images, *attestations, annotations={"org.opencontainers.image.title": name})


def docker_image(base: str, name: str) -> Image:
    """Return a single image in Docker's old format."""
    layers: list[bytes | int] = [*base_layers(base, "amd64"), 30_000]
    return Image(name, media_type=DOCKER_MANIFEST, layers=layers)


def pushes() -> Iterator[Push]:
    """Yield repository, content, tags of all that is pushed, in order."""
    yield from _base()
    yield from _shop()
    yield from _platform()
    yield from _data()
    yield from _mobile()
    yield from _charts()
    yield "2024/release/app", docker_image("debian", "2024-release"), ("final", "1.0.0")
    yield "2024/release/app", docker_image("debian", "2024-hotfix"), ("1.0.1",)


def _base() -> Iterator[Push]:
    for name in ("debian", "jre", "python", "node"):
        for version in ("12.8", "12.9", "12.10"):
            images = [
                Image(
                    f"base/{name}/{version}/{architecture}",
                    architecture=architecture,
                    variant="v8" if architecture == "arm64" else None,
                    layers=base_layers(name, architecture),
                )
                for architecture in ARCHITECTURES
            ]
            # The tag 12 moves on with each version, the ones before keep their own.
            yield f"base/{name}", Index(*images), (version, "12")
    old = Index(Image("base/alpine/old", layers=[400_000]))
    new = Index(Image("base/alpine/new", layers=[400_000]))
    yield "base/alpine", old, ("latest",)
    yield "base/alpine", new, ("latest",)  # the old one stays, untagged


def _versions(repository: str, base: str, count: int) -> Iterator[Push]:
    for number in range(count):
        version = f"2.{number}.0"
        tags = (version, "2", "latest") if number == count - 1 else (version,)
        yield repository, application(base, f"{repository}:{version}"), tags


def _shop() -> Iterator[Push]:
    for repository, base, count in (
        ("storefront", "node", 9), ("checkout", "jre", 8), ("catalog/api", "jre", 7),
        ("catalog/indexer", "python", 5), ("payments/gateway", "jre", 8),
        ("payments/worker/retry", "jre", 4),
    ):  # fmt: skip
        name = f"shop/{repository}"
        yield from _versions(name, base, count)
        newest = application(base, f"{name}:2.{count - 1}.0")
        bill = sbom_for(newest)
        yield name, cosign_signature(newest), ()
        yield name, bill, ()
        if repository in ("checkout", "payments/gateway"):
            yield name, cosign_signature(bill), ()
            yield name, cosign_signature(newest.children[0]), ()


def _platform() -> Iterator[Push]:
    for repository, count in (
        ("ci/runner", 6), ("ci/cache", 3), ("ingress/nginx", 5), ("monitoring/prometheus", 4),
        ("monitoring/alertmanager", 3), ("auth/keycloak", 4), ("tools/backup", 3),
    ):  # fmt: skip
        for number in range(count):
            image = docker_image("debian", f"platform/{repository}/{number}")
            yield f"platform/{repository}", image, (f"v{number + 1}",)
    pinned = docker_image("debian", "platform/tools/kubectl")
    yield (
        "platform/tools/kubectl",
        pinned,
        ("1.31", "1.31.4", "stable", "latest", "2026-01", "prod"),
    )
    yield "platform/tools/debug", docker_image("debian", "platform/tools/debug"), ()


def _data() -> Iterator[Push]:
    yield from _versions("data/etl/orders", "python", 6)
    yield from _versions("data/etl/customers", "python", 5)
    yield from _versions("data/notebooks", "python", 4)
    for number in range(4):
        model = Image(
            f"data/ml/recommender/{number}",
            layers=[600_000],
            config={"framework": "onnx", "revision": number},
            config_type="application/vnd.acme.model.config.v1+json",
            layer_type="application/vnd.acme.model.layer.v1",
        )
        yield "data/ml/recommender", model, (f"r{number}",)
        yield "data/ml/recommender", referrer(model, artifact_type="application/vnd.acme.eval"), ()
    linux = multi_arch("data/ml/server/linux", layers=[20_000])
    gpu = multi_arch("data/ml/server/gpu", layers=[90_000], architectures=("amd64",))
    yield "data/ml/server", Index(linux, gpu), ("1.0", "latest")


def _mobile() -> Iterator[Push]:
    for repository, count in (("android/build", 5), ("ios/proxy", 4), ("push", 6)):
        for number in range(count):
            image = Image(f"mobile/{repository}/{number}", layers=[40_000, 12_000])
            yield f"mobile/{repository}", image, (f"build-{number:03d}",)
    # Built again under the same tag: four artifacts without a tag, one with.
    for number in range(5):
        image = Image(f"mobile/nightly/{number}", layers=[25_000])
        yield "mobile/nightly", image, ("nightly",)


def _charts() -> Iterator[Push]:
    for name in ("storefront", "checkout", "catalog", "payments", "keycloak", "monitoring"):
        for version in ("0.9.0", "1.0.0", "1.1.0", "1.2.0", "2.0.0-rc.1", "2.0.0"):
            yield f"charts/{name}", helm_chart(name, version), (version,)
    signed = helm_chart("payments", "2.0.0")
    yield "charts/payments", cosign_signature(signed), ()


def fill(state: State) -> None:
    """Fill a state with the sample; the project `library`, which Harbor comes with, stays empty."""
    with state.lock:
        with state.pretended_time(START - STEP):
            for name, public in PROJECTS.items():
                state.create_project(name, public=public)
        for number, (repository, content, tags) in enumerate(pushes()):
            with state.pretended_time(START + number * STEP):
                state.push(repository, content, *tags)
