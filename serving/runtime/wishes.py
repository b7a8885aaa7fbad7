"""What a request says behind its address: `?async` to be answered later, `?purpose=` for the log."""

from typing import NamedTuple
from urllib.parse import parse_qs

from serving.runtime.problems import RequestError, shown

PURPOSES = ("probe", "drill", "loadtest")
"""Of requests that no user made. What they are answered is logged, and no figure of users holds them."""


class Wishes(NamedTuple):
    """Of one request."""

    later: bool = False
    purpose: str | None = None


def wishes_of(query: str) -> Wishes:
    """Read a query string; what it does not know there, it leaves alone.

    Raises:
        RequestError: The purpose is none.
    """
    asked = parse_qs(query, keep_blank_values=True)
    later, purpose = asked.get("async"), asked.get("purpose", [None])[-1]
    if purpose is not None and purpose not in PURPOSES:
        raise RequestError(f"`purpose` must be one of {', '.join(PURPOSES)}, found {shown(purpose)}")
    return Wishes(later is not None and later[-1].lower() in {"", "1", "true"}, purpose)


def marked(path: str, purpose: str) -> str:
    """The address of the handler for requests of one purpose."""
    return f"{path}?purpose={purpose}"
