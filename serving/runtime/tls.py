"""The settings' certificate and key as Granian takes them, tried before a client does."""

import ssl

from modelway.errors import ConfigError
from serving.runtime.settings import Tls

GranianTls = tuple[bool, str | None, str | None, str | None, str, str | None, list[str], bool]
"""On, certificate, key, its password, oldest version, authority of clients, revocations, clients must."""


def granian_tls(tls: Tls | None) -> GranianTls:
    """What Granian's worker is given; plain HTTP without settings.

    Raises:
        ConfigError: Certificate and key cannot be read, are none, or do not belong together.
    """
    if tls is None:
        return (False, None, None, None, "tls1.3", None, [], False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"TLS with {tls.certificate} and {tls.key}: {error.strerror or error}",
            expected="PEM files of a certificate, of its key without a password, and of a client authority",
            remedy="correct `tls` in the settings",
        ) from error
    authority = None if tls.client_ca is None else str(tls.client_ca.resolve())
    files = str(tls.certificate.resolve()), str(tls.key.resolve())
    return (True, *files, None, f"tls{tls.min_version}", authority, [], authority is not None)
