"""Tell people by Airflow's own notifiers (mail, Slack, a webhook, ...) how a run ended."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_harbor.notifications import told
from airflow_provider_harbor.notifications.message import Message, message_of
from airflow_provider_harbor.notifications.notice import find_notice

if TYPE_CHECKING:
    from airflow.sdk import Context

# What a notifier says where nobody has said otherwise. Templates, and never the words themselves:
# what stands in a field is rendered, and part of the words are Harbor's.
_DEFAULTS: dict[str, Any] = {
    "subject": "{{ harbor.subject }}",
    "html_content": "{{ harbor.html }}",
}
_JSON = {
    name: f"{{{{ harbor.{name} }}}}"
    for name in (
        "verdict",
        "subject",
        "headline",
        "text",
        "harbor_url",
        "page_url",
        "report_url",
        "run_url",
    )
}


class HarborNotifier(BaseNotifier):
    """Pass a message on to other notifiers, once a run; for the callbacks of a DAG.

    Templates of theirs find it as ``harbor``, see
    :class:`~airflow_provider_harbor.notifications.message.Message`: ``{{ harbor.subject }}``,
    ``{{ harbor.text }}``, ``{{ harbor.html }}``, ``{{ harbor.page_url }}`` and more. A mail
    without a subject or text, and a webhook without a body, get these by themselves.

    One that fails stops none of the others.

    :param notifiers: Airflow's notifiers, or any other callbacks, which get the context.
    :param has_succeeded: Whether it is for runs that are green. Of these only those are told that
        had been red before, unless ``always``.
    :param always: Whether each green run is told.
    :param task_id: Of the task that concludes a run.
    """

    def __init__(
        self,
        notifiers: Sequence[Any],
        *,
        has_succeeded: bool = False,
        always: bool = False,
        task_id: str = "snapshot",
    ) -> None:
        super().__init__()
        self.notifiers = tuple(notifiers)
        self.has_succeeded = has_succeeded
        self.always = always
        self.task_id = task_id

    def render_template_fields(self, *_: Any, **__: Any) -> None:
        """Do nothing: it has no templates, only the notifiers that it calls have."""

    def notify(self, context: Context) -> None:
        """Tell how the run of the context ended."""
        values: dict[str, Any] = {**context}
        notice, could_be_read = find_notice(values, self.task_id)
        if self.has_succeeded and _is_dry_run(notice, values):
            return  # nobody waits for it
        is_green_again = self.has_succeeded and _had_been_red(notice, values)
        if self.has_succeeded and not (self.always or is_green_again):
            return
        run_id = str(values["run_id"])
        instance = values.get("ti")
        message = message_of(
            notice,
            dag_id=values["dag"].dag_id,
            run_id=run_id,
            has_succeeded=self.has_succeeded,
            failed_task=getattr(instance, "task_id", "") if not self.has_succeeded else "",
            could_be_read=could_be_read,
            is_green_again=is_green_again,
        )
        try:
            tell(self.notifiers, message, values)
        finally:
            # Also where one of several has failed.
            if not self.has_succeeded or is_green_again:
                told.remember(values, red=not self.has_succeeded)


def _had_been_red(notice: dict[str, Any] | None, context: dict[str, Any]) -> bool:
    """Tell whether a green run was red when it ended before."""
    before = told.was_red(context)
    return bool((notice or {}).get("attempts")) if before is None else before


def _is_dry_run(notice: dict[str, Any] | None, context: dict[str, Any]) -> bool:
    if notice is not None:
        return bool(notice.get("dry_run"))
    return (context.get("params") or {}).get("dry_run") is True


def tell(notifiers: Sequence[Any], message: Message, context: dict[str, Any]) -> None:
    """Pass a message on to each of the notifiers.

    :param notifiers: See :class:`HarborNotifier`.
    :param message: What to say.
    :param context: What their templates find besides.
    :raises Exception: That of the first one that failed, after all have been tried.
    """
    if not hasattr(context.get("dag"), "get_template_env"):
        # `airflow dags test` of 3.3.2 gives a DAG that cannot render; without one they all can.
        context = {name: value for name, value in context.items() if name != "dag"}
    errors = []
    for notifier in notifiers:
        try:
            with_text(notifier)({**context, "harbor": message})
        except Exception as err:
            errors.append(err)
    if errors:
        raise errors[0]


def with_text(notifier: Any) -> Any:
    """Return a notifier again, which says what we have to say where it was not told otherwise.

    :param notifier: One of Airflow's, or any other callback, which is returned as it is.
    """
    if not isinstance(notifier, BaseNotifier):
        return notifier
    made: Any = copy.copy(notifier)  # what it renders stays in it
    for name, template in _DEFAULTS.items():
        if getattr(made, name, "") is None:
            setattr(made, name, template)
    if getattr(made, "json", "") is None and getattr(made, "data", "") is None:
        made.json = dict(_JSON)
    return made
