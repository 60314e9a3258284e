"""What the DAG functions are given: made what is meant, or refused by the argument's name.

A wrong argument is a broken DAG, which Airflow shows at the top of its UI, and not a DAG that does
something else than was meant.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any

from airflow.sdk.configuration import conf

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store.addresses import split_connection

MOST_WORKERS = 256
_LISTS = (list, tuple, set, frozenset)
_RULES = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly")


def new_dag_id(dag_id: str) -> str:
    """Return the id of a DAG that is going to be made.

    :raises HarborConfigurationError: The file that is read has made one of that id before: Airflow
        would keep one of them, and say nothing of the other.
    """
    if dag_id in _ids_in_this_file():
        raise HarborConfigurationError(
            f"there are two DAGs {dag_id!r} in this file, and Airflow would run only one of them: "
            "give the second one a dag_id of its own, such as "
            f"{dag_id + '_2'!r} as its first argument"
        )
    return dag_id


def _ids_in_this_file() -> set[str]:
    """Return the ids of the DAGs that the file which Airflow reads at this moment has made.

    Airflow forgets them before it reads a file; outside of that there are none. It is no public
    part of Airflow (tried with 3.3.2): where it has gone, nothing is refused.
    """
    try:
        from airflow.sdk.definitions._internal.contextmanager import DagContext

        return {dag.dag_id for dag, _ in DagContext.autoregistered_dags}
    except (ImportError, AttributeError):
        return set()


def names(argument: str, value: Sequence[str] | None) -> list[str] | None:
    """Return a list of names; a text is a list of one."""
    if value is None:
        return None
    found: list[Any] = list(value) if isinstance(value, _LISTS) else [value]
    if not all(isinstance(name, str) and name.strip() for name in found):
        raise _refused(argument, value, "a list of names or globs, such as ['team-*']")
    return found


def notifiers(value: Any) -> tuple[Any, ...]:
    """Return a list of notifiers, or other callbacks; one alone is a list of one."""
    if value is None:
        return ()
    found = tuple(value) if isinstance(value, _LISTS) else (value,)
    for one in found:
        if isinstance(one, type):
            raise HarborConfigurationError(
                f"notifiers has the class {one.__name__} in it, not a notifier: write "
                f"{one.__name__}(...), with what it needs"
            )
        if not callable(one):
            raise _refused("notifiers", one, "a list of notifiers, such as [SmtpNotifier(to=...)]")
    return found


def deadline(hours: float | None, told: Sequence[Any]) -> float | None:
    """Return after how many hours without a complete backup people are told.

    :param told: The notifiers.
    """
    if hours is None:
        return None
    _positive("deadline_hours", hours)
    if not told:
        raise HarborConfigurationError(
            "deadline_hours needs notifiers: without any nobody would be told. Name some, or leave "
            "it out"
        )
    return hours


def whole(argument: str, value: int, least: int, most: int | None = None) -> int:
    """Return a whole number."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        limits = f"from {least} to {most}" if most is not None else f"of {least} or more"
        raise _refused(argument, value, f"a whole number {limits}")
    return value


def workers(value: int) -> int:
    """Return the most requests in flight, as the form takes it."""
    return whole("workers", value, 1, MOST_WORKERS)


def limit_mb(value: float | None) -> float | None:
    """Return the most millions of bytes a second; None for no limit."""
    if value is not None:
        _positive("limit_mb", value)
    return value


def retention(policy: Mapping[str, int] | None) -> Mapping[str, int] | None:
    """Return which nights stay; None for all."""
    if policy is None or policy == {}:
        return None
    if not isinstance(policy, Mapping) or (unknown := sorted(set(map(str, policy)) - {*_RULES})):
        what = f"rules: {', '.join(_RULES)}"
        raise _refused("retention", policy if not isinstance(policy, Mapping) else unknown, what)
    for rule, nights in policy.items():
        whole(f"retention[{rule!r}]", nights, 0)
    if not any(policy.values()):
        raise _refused(
            "retention",
            dict(policy),
            "at least one rule that keeps a night (None keeps all nights)",
        )
    return policy


def connection(argument: str, value: str) -> str:
    """Return the id of a connection."""
    if not isinstance(value, str) or not value.strip():
        raise _refused(argument, value, "the id of a connection, such as 'harbor_default'")
    return value


def store(value: str | os.PathLike[str] | None) -> str | None:
    """Return the address of a store; None for `[harbor] store`, which is looked at, too."""
    if value is None:
        _without_credential("[harbor] store", conf.get("harbor", "store", fallback="") or "")
        return None
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
    if not isinstance(text, str) or not text.strip():
        raise _refused("store", value, "a directory or URL, such as '/backup/harbor'")
    _without_credential("store", text)
    return text


def _without_credential(argument: str, address: str) -> None:
    try:
        split_connection(address)
    except HarborConfigurationError as err:
        raise HarborConfigurationError(f"{argument}: {err}") from None


def _positive(argument: str, value: Any) -> None:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value <= 0:
        raise _refused(argument, value, "a number above 0")


def _refused(argument: str, value: Any, wanted: str) -> HarborConfigurationError:
    return HarborConfigurationError(f"{argument} is {value!r}: it has to be {wanted}")
