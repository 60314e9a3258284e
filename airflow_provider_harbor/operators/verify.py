"""Verifying a backup as an operator: is the store whole, and can the Harbor serve what it lists?

It is the DAG ``harbor_verify``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborConfigurationError,
)
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.jobs.keeping import keep_report
from airflow_provider_harbor.core.jobs.verification.page import render_verify_page
from airflow_provider_harbor.core.jobs.verification.registry import RegistryUnderTest
from airflow_provider_harbor.core.jobs.verification.report import EVERYTHING, Part
from airflow_provider_harbor.core.jobs.verification.verify import (
    Verification,
    require_source,
    verify,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.report_link import ReportLink
from airflow_provider_harbor.operators.telling import tell_report, tells
from airflow_provider_harbor.operators.units import (
    Heartbeat,
    as_flag,
    as_number,
    run_name,
    set_pace,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class HarborVerifyOperator(BaseOperator):
    """Verify a store, a part of its content each day, and what its Harbor and mirror can serve.

    Returns a summary. The task fails when anything is damaged, or could not be looked at; its log,
    and ``reports/`` in the store, say what, where it is used, and what mends it.

    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param source_conn_id: Connection of the Harbor of the store; None to ask it nothing.
    :param mirror_conn_id: Connection of a Harbor or registry that should have it all, too.
    :param part: Which part of the content is read and asked for: ``3/28``; ``all``; ``none`` for
        the structure of the store only; empty for that of the day of the run.
    :param parts: In how many days everything was read, where the part is that of the day.
    :param snapshot: Only this snapshot; empty for all that are kept.
    :param repair: Whether what is damaged is repaired: the store from Harbor or mirror, these from
        the store.
    :param workers: At most so many requests to one server at once. How many really are found out:
        more follow as long as that is faster, fewer at once where a server answers 429 or 503.
    :param limit_mb_per_second: Move at most so many millions of bytes a second; what is read at one
        end and written at the other counts once. None for no limit.
    :param limit_shares: Among how many tasks that run at once the limit is divided: one process
        knows nothing of the others. A share that no task uses is not given to the others.
    """

    template_fields: Sequence[str] = (
        "store",
        "source_conn_id",
        "mirror_conn_id",
        "part",
        "parts",
        "snapshot",
        "repair",
        "workers",
        "limit_mb_per_second",
        "limit_shares",
    )
    ui_color = "#fbe7c6"
    report_link = ReportLink(".verify")
    operator_extra_links = (report_link,)

    def __init__(
        self,
        *,
        store: str | None = None,
        source_conn_id: str | None = HarborHook.default_conn_name,
        mirror_conn_id: str | None = None,
        part: str | None = None,
        parts: int = 28,
        snapshot: str | None = None,
        repair: bool = False,
        workers: int = DEFAULT_CEILING,
        limit_mb_per_second: float | None = None,
        limit_shares: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.source_conn_id = source_conn_id
        self.mirror_conn_id = mirror_conn_id
        self.part = part
        self.parts = parts
        self.snapshot = snapshot
        self.repair = repair
        self.workers = workers
        self.limit_mb_per_second = limit_mb_per_second
        self.limit_shares = limit_shares

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Verify, and return a summary."""
        self.report_link.leave(context)
        set_pace(self.workers, self.limit_mb_per_second, self.limit_shares)
        part = self._part(context)
        store = open_store(self.store)
        self.log.info("Verifying %s, part %s of its content", store.url, part or "none")
        with ExitStack() as opened:
            wanted = Verification(
                store=store,
                run=f"{run_name(context)}.verify",
                which=self.snapshot or "",
                part=part,
                registries=self._registries(store, opened),
                repairs=as_flag(self.repair),
                workers=as_number(self.workers),
            )
            report = verify(wanted, progress=Heartbeat(self.log))
        page = keep_report(store, report, render_verify_page(report))
        tell_report(self.log, report.to_text(with_failures=False), has_failed=not report.ok)
        if page:
            self.log.info("The report is %s", page)
        if report.left:
            raise BackupIncompleteError(report.summary_line(), report.failures())
        if not report.ok:
            raise BackupInterruptedError(report.summary_line(), report.failures())
        return {
            "run": report.run,
            "part": str(part or ""),
            "repaired": len(report.damages),
            "summary": report.summary_line(),
        }

    def _part(self, context: Mapping[str, Any]) -> Part | None:
        """Return the part that was asked for, or that of the day: each has its turn."""
        text = str(self.part or "").strip().lower()
        if text in ("all", "none"):
            return EVERYTHING if text == "all" else None
        if text:
            return Part.parse(text)
        day = context["dag_run"].run_after.astimezone(timezone.utc).toordinal()
        return Part.parse(f"{day % max(as_number(self.parts), 1) + 1}/{as_number(self.parts)}")

    def _registries(self, store: BackupStore, opened: ExitStack) -> list[RegistryUnderTest]:
        found = []
        if self.source_conn_id:
            hook = HarborHook(self.source_conn_id)
            require_source(store, hook.url)
            client = hook.get_conn()
            _ = client.system_info  # proves the login
            registry = opened.enter_context(closing(hook.get_registry()))
            found.append(RegistryUnderTest("source", registry, client))
        if self.mirror_conn_id:
            hook = HarborHook(self.mirror_conn_id)
            if any(hook.url == registry.url for registry in found):
                raise HarborConfigurationError(
                    f"the mirror is the source, {hook.url}. Name another registry, or none"
                )
            registry = opened.enter_context(closing(hook.get_registry()))
            registry.ping()
            found.append(RegistryUnderTest("mirror", registry))
        return found
