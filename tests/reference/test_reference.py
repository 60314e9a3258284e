from __future__ import annotations

import inspect
from typing import Any

import pytest

from airflow_provider_harbor.get_provider_info import get_provider_info
from tests.reference.docstrings import arguments_of, read_docstring
from tests.reference.page import PAGE, render


def test_the_page_of_reference_says_what_the_docstrings_say() -> None:
    # Where it does not: `python -m tests.reference` writes it anew.
    assert PAGE.read_text() == render()


@pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
def test_every_module_of_the_provider_is_in_it(kind: str) -> None:
    page = PAGE.read_text()
    (entry,) = get_provider_info()[kind]
    for module in entry["python-modules"]:
        assert f"\n`{module}`\n" in page


def test_every_notifier_of_the_provider_is_in_it() -> None:
    for name in get_provider_info()["notifications"]:
        module, _, found = name.rpartition(".")
        assert f"\n### {found}\n\n`{module}`\n" in PAGE.read_text()


def test_an_argument_that_is_not_described_is_an_error() -> None:
    def function(store: str, workers: int = 4, **kwargs: Any) -> None:
        """Do something.

        :param store: Where.
        """

    doc = read_docstring(function)
    with pytest.raises(ValueError, match="workers"):
        arguments_of(function, doc.parameters)
    rows = arguments_of(function, {**doc.parameters, "workers": "How many."})
    assert rows == [["`store`", "required", "Where."], ["`workers`", "`4`", "How many."]]


def test_docstrings_become_markdown() -> None:
    def function() -> None:
        """Read :class:`~a.b.Thing` of :mod:`a.b`, for ``name``::

            one()

            two()

        And so on.

        :return: What was
            read.
        :raises ValueError: It was not.
        """

    doc = read_docstring(function)
    assert doc.text == (
        "Read `Thing` of `a.b`, for `name`:\n\n```python\none()\n\ntwo()\n```\n\nAnd so on."
    )
    assert (doc.returns, doc.raises) == ("What was read.", {"ValueError": "It was not."})
    assert inspect.getdoc(function) != doc.text
