import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from measuring import contenders as who
from measuring.answers import check
from measuring.calls import binary, matrix, named
from measuring.graph import bundle_of, expected_probability, train
from measuring.servers import ROOT, Server, free_port
from measuring.stage import Settings, start

WITH_A_CHILD = """
import subprocess, sys, time
work = "import time\\nwhile time.process_time() < 0.3: pass\\nprint('worked', flush=True)\\ntime.sleep(600)"
command = [sys.executable, "-c", work]
child = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def said(log: Path) -> str:
    """The server's first line."""
    deadline = time.monotonic() + 120
    while not (text := log.read_text()).endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return text


def test_a_server_is_weighed_and_stopped_with_its_children_in_other_sessions(tmp_path):
    server = Server("parent", [sys.executable, "-c", WITH_A_CHILD], free_port(), tmp_path / "log", None)
    try:
        child = psutil.Process(int(said(tmp_path / "log")))
        used_s = server.cpu_s()
    finally:
        server.stop()

    assert used_s >= 0.3
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_ends_at_once_says_its_last_words(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    server = Server("short", command, free_port(), tmp_path / "log", None)
    try:
        with pytest.raises(SystemExit, match="no such model"):
            server.await_answer(matrix())
    finally:
        server.stop()


def test_ours_gives_what_onnx_runtime_gives_and_a_wrong_answer_ends_the_run(tmp_path):
    model = train(tmp_path)
    expected = expected_probability(model)
    settings = Settings(tmp_path, expected, 1, 1, 1, (None, None))
    bundle = bundle_of(tmp_path, model)
    with ExitStack() as stack:
        server, _ = start(stack, settings, "ours", lambda port: who.ours(bundle, port), matrix())

        check(server, matrix(), expected)
        check(server, named(), expected)
        with pytest.raises(SystemExit, match="ONNX Runtime"):
            check(server, matrix(), expected + 0.01)


def test_the_binary_request_is_the_one_tritonclient_writes():
    http = pytest.importorskip("tritonclient.http")
    numpy = pytest.importorskip("numpy")
    tensor = http.InferInput("features", [1, 12], "FP32")
    tensor.set_data_from_numpy(numpy.array([[round(0.37 * at - 2, 2) for at in range(12)]], numpy.float32))

    body, length = http.InferenceServerClient.generate_request_body([tensor], request_id="1")

    ours, head = binary().body, int(binary().headers["inference-header-content-length"])
    assert json.loads(ours[:head]) == json.loads(body[:length])
    assert ours[head:] == body[length:]


def test_every_peer_has_a_program_and_pins_everything():
    for peer in who.peers():
        pins = who.SCRIPTS / f"{peer.program}.txt"
        assert (who.SCRIPTS / f"{peer.program}_server.py").exists()
        if peer.program != "kserve":  # a dependency of ours
            assert all("==" in line for line in pins.read_text().splitlines())


def test_an_unknown_peer_is_refused_with_the_names_of_all():
    command = [sys.executable, "benchmarks/serving.py", "--peers", "kserve,torchserve"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    assert done.returncode == 1
    assert "['torchserve']" in done.stderr
    assert "mlserver" in done.stderr
