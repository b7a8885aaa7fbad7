"""Who is measured: ours in its ways, servers that do nothing, and the peers, each in its own environment."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from measuring.calls import Call, grpc, matrix, own_json
from measuring.servers import ROOT

SCRIPTS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".modelway" / "bench"


@dataclass(frozen=True)
class Peer:
    """A server of somebody else's."""

    key: str
    title: str
    call: Call
    least_ratio: float | None
    """How many times as many requests ours has to answer; None promises nothing."""
    arguments: tuple[str, ...] = ()
    speaks: str = "V2 JSON"

    @property
    def program(self) -> str:
        """Its file and its environment carry this name."""
        return self.key.split("-", maxsplit=1)[0]

    def command(self, port: int, model: Path) -> list[str]:
        """What starts it; makes its environment when there is none, which takes minutes."""
        script = SCRIPTS / f"{self.program}_server.py"
        return [str(interpreter(self.program)), "-P", str(script), str(port), str(model), *self.arguments]


def peers() -> tuple[Peer, ...]:
    """All of them, in the table's order."""
    return (
        Peer("kserve", "KServe ModelServer 0.21", matrix(), 10),
        Peer("mlserver", "MLServer 1.7.1", matrix(), 4),
        Peer("bentoml", "BentoML 1.4.40", own_json("/predict"), 4, speaks="own JSON"),
        Peer("litserve", "LitServe 0.2.19", own_json("/predict"), 4, speaks="own JSON"),
        Peer("ray", "Ray Serve 2.60.0", own_json("/"), 4, speaks="own JSON"),
        Peer("mosec", "mosec 0.9.8", own_json("/inference"), 2, speaks="own JSON"),
        # Sixteen clients in lock step fill its batches, and ours answers each alone: shown, not promised.
        Peer("mosec-batch", "mosec 0.9.8, batches of 16", own_json("/inference"), None, ("16",), "own JSON"),
    )


def kserve_grpc(grpc_port: int) -> Peer:
    """KServe's SDK with its gRPC server on a further port."""
    return Peer("kserve-grpc", "KServe ModelServer 0.21", grpc(), 3, (str(grpc_port),), "gRPC")


def ours(bundle: tuple[Path, Path], port: int, *options: str) -> list[str]:
    """What starts our runtime."""
    folder, key = bundle
    served = ["--bundle", str(folder), "--verify-key", str(key), "--revision", "r1", "--port", str(port)]
    return [sys.executable, "-m", "serving.runtime", *served, *options]


def serves_grpc() -> bool:
    """Whether our runtime has a gRPC port."""
    said = subprocess.run(
        [sys.executable, "-m", "serving.runtime", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return "--grpc-port" in said.stdout


def noop(port: int, kind: str) -> list[str]:
    """What starts a server that does nothing: `granian` as published, or `noop`, our transport."""
    return [str(interpreter(kind)), "-P", str(SCRIPTS / f"{kind}_server.py"), str(port)]


def interpreter(program: str) -> Path:
    """The Python of a peer's environment, made from `peers/<program>.txt` unless it is that already."""
    pins = SCRIPTS / f"{program}.txt"
    if not pins.exists():
        return Path(sys.executable)  # KServe's SDK is one of our own dependencies
    folder = ENVIRONMENTS / program
    found, mark = folder / "bin" / "python", folder / "made-from"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        _make(folder, pins)
        mark.write_text(wanted)
    return found


def _make(folder: Path, pins: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is missing\nexpected: it makes the peers' environments\nto do: pip install uv")
    print(f"making {folder.relative_to(ROOT)}", file=sys.stderr)
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
    where = ["--python", str(folder / "bin" / "python")]
    # the file names everything that is needed, so what a package asks for is not asked again
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", *where, "-r", str(pins)]
    subprocess.run(install, check=True)
