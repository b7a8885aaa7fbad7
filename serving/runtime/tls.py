"""The settings' certificate and key, tried before a client does."""

import ssl

from modelway.errors import ConfigError
from serving.runtime.settings import Tls

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(tls: Tls | None, *protocols: str) -> ssl.SSLContext | None:
    """What connections are wrapped in; None without settings.

    Args:
        tls: Files of the certificate and the key.
        protocols: What is spoken behind it, as ALPN names it (RFC 7301).

    Raises:
        ConfigError: Certificate and key cannot be read, are none, or do not belong together.
    """
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.set_alpn_protocols(list(protocols))
    try:
        context.load_cert_chain(
            tls.certificate, tls.key, password=lambda: b""
        )  # else OpenSSL asks the terminal
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"TLS with {tls.certificate} and {tls.key}: {error.strerror or error}",
            expected="PEM files of a certificate, of its key without a password, and of a client authority",
            remedy="correct `tls` in the settings",
        ) from error
    return context
