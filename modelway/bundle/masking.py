"""How a value becomes unreadable and stays comparable: one keyed hash for servers, monitoring, deletion."""

import hashlib
import os

from modelway.errors import ConfigError

SALT_VARIABLE = "MODELWAY_LOG_SALT"
"""Environment variable with the deployment's secret; the same one for whoever writes and reads a log."""
MIN_SALT_CHARS = 16
REQUEST_ID = "request_id"
"""Name by which a policy masks the clients' own request ids; the key and the inputs go by their own names."""
_MAX_KEY_BYTES = 64


def log_salt() -> str | None:
    """The deployment's secret; None where it has none.

    Raises:
        ConfigError: It is too short to keep anything secret.
    """
    salt = os.environ.get(SALT_VARIABLE) or None
    if salt is not None and len(salt) < MIN_SALT_CHARS:
        raise ConfigError(
            f"{SALT_VARIABLE} has {len(salt)} characters",
            expected=f"{MIN_SALT_CHARS} or more, random",
            remedy="`openssl rand -hex 32` makes one; whoever reads the log needs the same",
        )
    return salt


def hashed(value: bytes | str, salt: str) -> str:
    """A value as 32 hexadecimal digits: BLAKE2b keyed with the salt.

    Whoever has no salt can neither read it nor try likely values; equal values stay equal.

    Source:
        RFC 7693, section 2.9, on keyed hashing.
    """
    content = value.encode() if isinstance(value, str) else value
    key = hashlib.blake2b(salt.encode(), digest_size=_MAX_KEY_BYTES).digest()
    return hashlib.blake2b(content, digest_size=16, key=key).hexdigest()
