"""How fast, and at what cost, a Harbor is backed up: the runs, and what came of each."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.destinations import Destination, new_place
from tests.bench.processes import Server, Used, running
from tests.bench.tools import Ours, Task, Tool
from tests.bench.workloads import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What the network is like, besides being far."""

    requests_per_second: float = 0
    burst: float = 0
    cut_every_mebibytes: int = 0

    def arguments(self) -> list[object]:
        found: list[object] = []
        if self.requests_per_second:
            found += ["--requests-per-second", self.requests_per_second]
        if self.burst:
            found += ["--burst", self.burst]
        if self.cut_every_mebibytes:
            found += ["--cut-every", self.cut_every_mebibytes]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run came to.

    Attributes:
        part: Which part of the workload it took; empty for all of it.
        at_source: Requests by kind.
        at_destination: Likewise.
        line: What passed the line, where there was one.
    """

    workload: str
    to: str
    rtt_ms: float
    mode: str
    tool: str
    part: str
    code: int
    seconds: float
    cpu_seconds: float
    most_memory_bytes: int
    at_source: dict[str, int]
    at_destination: dict[str, int]
    line: dict[str, int] = field(default_factory=dict)
    said: str = ""

    @property
    def requests(self) -> int:
        """At both ends."""
        return sum(self.at_source.values()) + sum(self.at_destination.values())

    @property
    def cpu_ms_per_request(self) -> float:
        return 1000 * self.cpu_seconds / max(self.requests, 1)

    def to_json(self) -> dict[str, Any]:
        more = {"requests": self.requests, "cpu_ms_per_request": self.cpu_ms_per_request}
        return asdict(self) | more


class Bench:
    """Runs tools on workloads, in turns, and hands out what each run came to.

    Args:
        directory: For everything that is written.
        tell: Called with what begins.
    """

    def __init__(
        self,
        directory: Path,
        tell: Callable[[str], None],
        *,
        rtts_ms: Sequence[float],
        places: Sequence[str],
        tools: Sequence[Tool],
        trouble: Trouble,
        rounds: int = 1,
    ) -> None:
        self._directory = directory
        self._tell = tell
        self._rtts_ms = rtts_ms
        self._places = places
        self._tools = tools
        self._trouble = trouble
        self._rounds = rounds
        self._numbers = itertools.count(1)

    def copies(self, workload: Workload) -> Iterator[Run]:
        """Copy a workload to each place over each distance: a first night, an unchanged one."""
        with self._harbor(workload) as harbor:
            for to, rtt_ms, _ in itertools.product(
                self._places, self._rtts_ms, range(self._rounds)
            ):
                for tool in self._tools:
                    yield from self._copy(harbor, workload, to, rtt_ms, tool)

    def _copy(
        self, harbor: Server, workload: Workload, to: str, rtt_ms: float, tool: Tool
    ) -> Iterator[Run]:
        with (
            self._place(to) as place,
            self._route(harbor, place, rtt_ms) as (task_of, line),
        ):
            task = task_of(workload)
            for mode in tool.modes(place):
                yield self._measure(
                    harbor, line, task, to, rtt_ms, mode, tool, lambda: tool.backup(task)
                )

    def nights(self, workload: Workload, places: Sequence[str] = ()) -> Iterator[Run]:
        """List a large project, plan its copy, copy it once near by, and then on other nights.

        Args:
            workload: Of one project.
            places: Of those that are measured only these.
        """
        chosen = [place for place in self._places if place in places or not places]
        ours = [tool for tool in self._tools if isinstance(tool, Ours)]
        with self._harbor(workload) as harbor:
            for to, tool in itertools.product(chosen, ours):
                yield from self._nights(harbor, workload, to, tool)

    def _nights(self, harbor: Server, workload: Workload, to: str, tool: Ours) -> Iterator[Run]:
        with (
            self._place(to) as place,
            self._route(harbor, place, 0, always=True) as (task_of, line),
        ):
            task = task_of(workload)
            assert line
            listed = str(place.directory / "inventory.jsonl")

            def run(mode: str, rtt_ms: float, do: Callable[[], Used]) -> Run:
                line.ask(f"rtt {rtt_ms}")
                return self._measure(harbor, line, task, to, rtt_ms, mode, tool, do)

            if to == "directory":
                for rtt_ms in self._rtts_ms:
                    yield run(
                        "listing",
                        rtt_ms,
                        lambda: tool.run(task, "inventory", task.source_url, "--output", listed),
                    )
            yield run("plan", 0, lambda: tool.backup(task, "--dry-run"))
            yield run("cold", 0, lambda: tool.backup(task))
            for rtt_ms in self._rtts_ms:
                yield run("unchanged", rtt_ms, lambda: tool.backup(task))

    # -- what stands around a run

    @contextmanager
    def _harbor(self, workload: Workload) -> Iterator[Server]:
        self._tell(f"{workload.name}: {workload.title}: filling a Harbor")
        with running("tests.bench.workloads", workload.name, *workload.size) as harbor:
            yield harbor

    @contextmanager
    def _place(self, to: str) -> Iterator[Destination]:
        with new_place(to, self._directory / f"{next(self._numbers)}-{to}") as place:
            yield place

    @contextmanager
    def _route(
        self, harbor: Server, place: Destination, rtt_ms: float, *, always: bool = False
    ) -> Iterator[tuple[Callable[[Workload], Task], Server | None]]:
        """Put a line where the network is: before the destination, else before the source."""
        line = None
        with ExitStack() as stack:
            if rtt_ms or always or self._trouble.arguments():
                line = stack.enter_context(
                    running(
                        "tests.bench.line",
                        place.address or harbor.address,
                        *("--rtt", rtt_ms),
                        *self._trouble.arguments(),
                    )
                )
            is_source = line and not place.address

            def task_of(workload: Workload) -> Task:
                return Task(
                    workload=workload,
                    source_url=line.url if line and is_source else harbor.url,
                    destination=place,
                    address=line.address if line and not is_source else place.address,
                    directory=place.directory,
                )

            yield task_of, line

    def _measure(
        self,
        harbor: Server,
        line: Server | None,
        task: Task,
        to: str,
        rtt_ms: float,
        mode: str,
        tool: Tool,
        do: Callable[[], Used],
    ) -> Run:
        part = tool.share_of(task.workload)
        self._tell(f"{task.workload.name} to {to}, {rtt_ms:g} ms, {mode}: {tool.name} {part}")
        before, passed = task.destination.counts(), _figures(line)
        _forget_requests(harbor)
        used = do()
        time.sleep(0.05)  # a server counts a request after it has been answered
        after = task.destination.counts()
        return Run(
            workload=task.workload.label,
            to=to,
            rtt_ms=rtt_ms,
            mode=mode,
            tool=tool.name,
            part=part,
            code=used.code,
            seconds=used.seconds,
            cpu_seconds=used.cpu_seconds,
            most_memory_bytes=used.most_memory_bytes,
            at_source=_requests_of(harbor),
            at_destination=dict(sorted((after - before).items())),
            line=dict(_figures(line) - passed),
            said=used.said[-300:],
        )


def _figures(line: Server | None) -> Counter[str]:
    if line is None:
        return Counter()
    pairs = (word.split("=") for word in line.ask("figures").split())
    return Counter({name: int(number) for name, number in pairs})


def _requests_of(harbor: Server) -> dict[str, int]:
    with urllib.request.urlopen(f"{harbor.url}/_double/requests", timeout=30) as answer:
        found: dict[str, int] = json.load(answer)["by_kind"]
    return found


def _forget_requests(harbor: Server) -> None:
    request = urllib.request.Request(f"{harbor.url}/_double/requests", method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()
