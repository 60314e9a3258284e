"""What is to be said, and done, where a server does not take a login."""

from __future__ import annotations

_GIVE_ONE = "Give the name of a user or robot, and its password"


def login_hint(user: str, advice: str = "") -> str:
    """Return why a login was not accepted, and what to do.

    Args:
        user: The name that was given; empty for none.
        advice: How a login is given, in a sentence, where the caller knows it.
    """
    if not user:
        return f"no credentials were given. {advice or _GIVE_ONE}"
    return (
        f"the login {user!r} was not accepted. Check name and password (of a robot: the whole "
        "name with its prefix, that it is enabled and has not expired)"
    )
