"""Names and image references as Kubernetes takes them, held to its rules before anything is printed."""

import re
from collections.abc import Mapping
from typing import Any

from modelway.errors import ConfigError
from serving.kserve.spec import MAX_NAME_LENGTH, NAME_PATTERN, NAMESPACE_PATTERN

_OBJECT = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""RFC 1123 subdomain: Secrets, volume claims."""
_LONGEST_OBJECT = 253
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]+)?/)?{_PART}(/{_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?"
)
"""The grammar of github.com/distribution/reference, SHA-256 digests alone."""


def require_names(options: Mapping[str, Any]) -> None:
    """Refuse what a cluster, or a node that pulls an image, would refuse later and elsewhere.

    Args:
        options: Of `python -m serving.kserve`, by name; an empty text is one that was not given.

    Raises:
        ConfigError: The first that does not fit.
    """
    for option, value in options.items():
        if not isinstance(value, str) or (not value and option not in {"image", "namespace", "name"}):
            continue
        if option == "name":
            _require_label(option, value, NAME_PATTERN, "a letter first")
        elif option == "namespace":
            _require_label(option, value, NAMESPACE_PATTERN, "none of them `-` at either end")
        elif option.endswith(("_secret", "_claim")):
            _require_object(option, value)
        elif option.endswith("image"):
            _require_image(option, value)


def _require_label(option: str, value: str, pattern: str, rule: str) -> None:
    if not re.fullmatch(pattern, value) or value.endswith("\n") or len(value) > MAX_NAME_LENGTH:
        raise _refused(
            option, value, f"lower-case letters, digits and `-`, {rule}; {MAX_NAME_LENGTH} characters at most"
        )


def _require_object(option: str, value: str) -> None:
    if not re.fullmatch(_OBJECT, value) or len(value) > _LONGEST_OBJECT:
        raise _refused(option, value, "lower-case letters, digits, `-` and `.`, as `kubectl get` lists it")


def _require_image(option: str, value: str) -> None:
    if not re.fullmatch(_IMAGE, value):
        raise _refused(option, value, "REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…, the name in lower case")
    if not re.search(r"@|:[^/]+$", value):
        raise _refused(option, value, "a tag or a digest: two pulls of one revision must not differ")


def _refused(option: str, value: str, expected: str) -> ConfigError:
    flag = f"--{option.replace('_', '-')}"
    return ConfigError(f"{flag} {value!r}", expected=expected, remedy=f"correct {flag}")
