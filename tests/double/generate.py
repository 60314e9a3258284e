"""Many small artifacts, for tests of speed."""

from __future__ import annotations

from .content import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Image
from .state import State

# Long ago, so that the times of 10^5 artifacts do not reach into the future.
START = 1_700_000_000_000
LAYER_BYTES = 700


def generate(state: State, projects: int, repositories: int, artifacts: int) -> None:
    """Make images with a tag each; the numbers of projects, repositories, artifacts are totals.

    Each image has a config and a layer of its own and shares one layer with
    the others of its repository; all together some 2 kB. The same numbers give the same digests.
    """
    if not 0 < projects <= repositories <= artifacts:
        raise ValueError("there must be at least a repository a project, and an image a repository")
    width = len(str(projects - 1))
    names = [f"generated-{number:0{width}d}" for number in range(projects)]
    with state.lock, state.pretended_time(START):
        for name in names:
            state.create_project(name)
        for number in range(artifacts):
            index = number % repositories
            name = f"{names[index % projects]}/repository-{index:05d}"
            state.push(name, small_image(name, number), f"v{number // repositories}")


def small_image(repository: str, number: int) -> Image:
    """Return the image that has this number among all that were generated."""
    shared = f"base of {repository}\n".encode() * 20
    own = (f"layer {number}\n".encode() * 100)[:LAYER_BYTES]
    return Image(
        f"{repository}/{number}",
        layers=[shared, own],
        media_type=OCI_MANIFEST,
        config_type=OCI_CONFIG,
        layer_type=OCI_LAYER,
    )
