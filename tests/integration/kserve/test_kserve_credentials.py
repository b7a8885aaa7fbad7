"""Whose credentials a call carries: a pod's own over TLS, else those of the kubeconfig's context."""

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes.config import incluster_config

from modelway.errors import ConfigError, NotRunningError
from serving.kserve.client import Cluster, Kind


class ApiServer(ThreadingHTTPServer):
    """Answers every question with an object, and remembers who asked for what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: list[tuple[str, str]] = []


class _Answering(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization", "")))
        body = json.dumps({"metadata": {"name": "paint"}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


def certificate(folder: Path) -> tuple[Path, Path]:
    """PEM of a certificate for loopback that vouches for itself, and of its key."""
    folder.mkdir()
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
    builder = builder.add_extension(usage, critical=True)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(own, critical=False)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = builder.add_extension(loopback, critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "ca.crt").write_bytes(signed.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return folder / "ca.crt", folder / "key.pem"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    found = ApiServer()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def pod(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a kubelet mounts, and the environment that it sets; the server speaks TLS."""
    ca, key = certificate(tmp_path / "account")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    (ca.parent / "token").write_text("of-the-pod")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(ca.parent / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    return ca.parent


def kubeconfig(file: Path, port: int) -> Path:
    """Two contexts of one cluster, each with a user of its own."""
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": name, "user": {"token": f"of-{name}"}} for name in ("ann", "bob")],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": name}} for name in ("ann", "bob")],
        "current-context": "ann",
    }
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **document}))
    return file


PAINT = "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices/paint"


def test_in_a_pod_its_service_account_asks_over_tls_that_its_authority_vouches_for(
    server: ApiServer, pod: Path
) -> None:
    assert Cluster("models").get(Kind.INFERENCE_SERVICE, "paint") == {"metadata": {"name": "paint"}}
    assert server.asked == [(PAINT, "bearer of-the-pod")]


def test_a_server_that_the_pods_authority_does_not_vouch_for_never_sees_the_token(
    server: ApiServer, pod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = certificate(tmp_path / "other")
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(other))

    with pytest.raises(NotRunningError, match="CERTIFICATE_VERIFY_FAILED"):
        Cluster("models").get(Kind.INFERENCE_SERVICE, "paint")
    assert server.asked == []


def test_a_pod_without_the_address_of_its_cluster_says_what_is_missing(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")

    with pytest.raises(ConfigError, match="host/port is not set"):
        Cluster("models").get(Kind.INFERENCE_SERVICE, "paint")


@pytest.mark.parametrize(("context", "user"), [(None, "ann"), ("bob", "bob")])
def test_a_kubeconfig_asks_as_the_user_of_its_context(
    server: ApiServer, tmp_path: Path, context: str | None, user: str
) -> None:
    file = kubeconfig(tmp_path / "config", server.server_port)

    Cluster("models", kubeconfig=file, context=context).get(Kind.INFERENCE_SERVICE, "paint")

    assert server.asked == [(PAINT, f"Bearer of-{user}")]


def test_a_kubeconfig_that_was_named_comes_before_the_pods_own(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("of-the-pod")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    file = kubeconfig(tmp_path / "config", server.server_port)

    Cluster("models", kubeconfig=file).get(Kind.INFERENCE_SERVICE, "paint")

    assert server.asked == [(PAINT, "Bearer of-ann")]


def test_a_context_that_is_not_in_the_file_is_named(server: ApiServer, tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", server.server_port)

    with pytest.raises(ConfigError, match="eve"):
        Cluster("models", kubeconfig=file, context="eve").get(Kind.POD, "p")
