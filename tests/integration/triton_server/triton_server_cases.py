"""NVIDIA's own server, from nvidia-pytriton, on the CPU. It carries one backend: Python."""

import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from optimize_bundles import bundle_of, key_file, trained
from typer.testing import CliRunner

from modelway.cli.optimize import app
from modelway.optimize.scoring import Graph

pytestmark = pytest.mark.accelerator("triton")
ROOT = Path(__file__).parents[3]
WAIT_S = 60.0


@pytest.fixture(scope="module", params=["hgb", "mlp"])
def model(request, use_case, make_loans):
    return trained(request.param, use_case, make_loans(600, seed=1))


@pytest.fixture(scope="module")
def rendered(model, tmp_path_factory):
    """The repository that the command writes, and the bundle it comes from."""
    folder = tmp_path_factory.mktemp("triton")
    bundle, repository = bundle_of(folder, model), folder / "repository"
    where = ["--bundle", str(bundle.path), "--verify-key", str(key_file(folder))]
    done = CliRunner().invoke(
        app, ["triton", *where, "--out", str(repository), "--backend", "python", "--cpu"]
    )
    assert done.exit_code == 0, done.output
    return bundle, repository


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def backends(folder, server):
    """The server's backends, the Python backend's interpreter beside it, as its launcher lays them out."""
    shutil.copytree(server / "backends", folder / "backends")
    version = sysconfig.get_python_version()
    shutil.copy(
        server / "python_backend_stubs" / version / "triton_python_backend_stub",
        folder / "backends" / "python",
    )
    return folder / "backends"


@pytest.fixture(scope="module")
def server(rendered, tmp_path_factory):
    """Ports of a running server: http, grpc."""
    site = next((ROOT / ".venv-triton" / "lib").glob("python3*/site-packages"))
    home, folder, (http, grpc) = (
        site / "pytriton" / "tritonserver",
        tmp_path_factory.mktemp("run"),
        free_ports(2),
    )
    libraries = [str(site / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
    said = (folder / "server.log").open("wb")
    process = subprocess.Popen(
        [
            home / "bin" / "tritonserver",
            f"--model-repository={rendered[1]}",
            f"--backend-directory={backends(folder, home)}",
            f"--http-port={http}",
            f"--grpc-port={grpc}",
            "--http-address=127.0.0.1",
            "--grpc-address=127.0.0.1",
            "--allow-metrics=false",
            "--exit-timeout-secs=5",
        ],
        env={
            **os.environ,
            "PATH": f"{ROOT / '.venv-triton' / 'bin'}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": ":".join(libraries),
        },
        stdout=said,
        stderr=said,
        start_new_session=True,
    )
    try:
        await_ready(process, http, folder / "server.log")
        yield http, grpc
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.close()


def await_ready(process, port, log):
    client, end = triton_http.InferenceServerClient(f"127.0.0.1:{port}"), time.monotonic() + WAIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if client.is_server_ready():
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"Triton did not become ready:\n{log.read_text()[-3000:]}")


def asked(client, module, rows):
    tensor = module.InferInput("features", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    return client.infer("loans", [tensor]).as_numpy("probability").reshape(-1)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_triton_answers_like_our_graph(server, rendered, model, protocol):
    bundle, _ = rendered
    rows = np.vstack([model.X[:200], np.full_like(model.X[:1], np.nan)])
    module = triton_http if protocol == "http" else triton_grpc
    client = module.InferenceServerClient(f"127.0.0.1:{server[protocol == 'grpc']}")

    answers, one = asked(client, module, rows), asked(client, module, rows[:1])

    expected = Graph(bundle.model).probabilities(rows)
    np.testing.assert_allclose(answers, expected, atol=1e-6)
    np.testing.assert_allclose(one, expected[:1], atol=1e-6)


def test_triton_reads_the_configuration_as_we_meant_it(server, rendered):
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server[0]}")

    config = client.get_model_config("loans")

    assert config["max_batch_size"] == 1024
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 200
    assert config["parameters"]["bundle"]["string_value"] == rendered[0].digest


def test_requests_that_triton_batches_get_their_own_rows(server, rendered, model):
    """More requests at once than instances: the server puts them together."""
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server[1]}")
    found = {}

    def keep(number):
        return lambda result, error: found.__setitem__(
            number, error or result.as_numpy("probability").reshape(-1)
        )

    for number in range(50):
        tensor = triton_grpc.InferInput("features", [2, model.X.shape[1]], "FP32")
        tensor.set_data_from_numpy(model.X[2 * number : 2 * number + 2])
        client.async_infer("loans", [tensor], keep(number))
    end = time.monotonic() + WAIT_S
    while len(found) < 50 and time.monotonic() < end:
        time.sleep(0.01)

    expected = Graph(rendered[0].model).probabilities(model.X[:100])
    np.testing.assert_allclose(np.concatenate([found[n] for n in range(50)]), expected, atol=1e-6)
