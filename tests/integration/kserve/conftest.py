import importlib.util
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import onnx.parser
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the fakes are test equipment, not packages

from fake_kubelets import InstantKubelet
from fake_kubernetes_api import FakeKubernetesApi

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.contract import Slo
from serving.kserve.client import Cluster
from serving.kserve.places import Places
from serving.kserve.spec import Scaling, Service
from serving.rollout.kserve import KServeTarget
from serving.rollout.start import revision_of
from serving.rollout.target import Revision

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'
GRAPHS = {
    "good": f"""{HEADER} good (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{0.5, -0.25}}> {{ score = MatMul(features, weights) probability = Sigmoid(score) }}""",
    "better": f"""{HEADER} better (float[N, 2] features) => (float[N] probability)
<float[2] weights = {{0.4, -0.2}}> {{ score = MatMul(features, weights) probability = Sigmoid(score) }}""",
    # Fails inside ONNX Runtime for every row whose first value is not 0.
    "failing": f"""{HEADER} failing (float[N, 2] features) => (float[N] probability)
<int64 first = {{0}}, float[1] table = {{0.5}}> {{
    value = Gather<axis = 1>(features, first)
    index = Cast<to = 7>(value)
    probability = Gather(table, index)
}}""",
}
SIGNATURE = Signature(
    model_name="paint",
    key="paint_id",
    label="sold",
    inputs=(Input(name="amount", kind="numeric"), Input(name="months", kind="numeric")),
    threshold=0.5,
)
# Wide limits: any process of a busy machine may stand still for seconds.
SLO = Slo(latency_limit_ms=1000, latency_percentile=90, max_error_rate=0.01, rate_rps=100)
RunsAs = Callable[..., Revision]

_SOURCE = Path(__file__).parents[2] / "unit" / "kserve" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("kserve_schemas", _SOURCE)
_SCHEMAS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_SCHEMAS)

crd_errors = _SCHEMAS.crd_errors


@pytest.fixture
def kubelet() -> InstantKubelet:
    return InstantKubelet()


@pytest.fixture
def api(kubelet: InstantKubelet) -> Iterator[FakeKubernetesApi]:
    """A cluster whose controllers run when told to."""
    with FakeKubernetesApi(kubelet) as api:
        yield api


@pytest.fixture
def busy_api(kubelet: InstantKubelet) -> Iterator[FakeKubernetesApi]:
    """A cluster whose controllers run by themselves."""
    with FakeKubernetesApi(kubelet, auto=True) as api:
        yield api


@pytest.fixture
def cluster(api: FakeKubernetesApi, tmp_path: Path) -> Cluster:
    return Cluster("default", kubeconfig=api.kubeconfig(tmp_path))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(
        root=tmp_path / "serving",
        storage=f"file://{tmp_path}/store",
        bundles=tmp_path / "bundles",
        verify_key=tmp_path / "keys" / VERIFY_KEY_FILE,
    )


@pytest.fixture
def make_target(tmp_path: Path, places: Places) -> Callable[[FakeKubernetesApi], KServeTarget]:
    def make(api: FakeKubernetesApi, **changes: object) -> KServeTarget:
        kubeconfig = api.kubeconfig(tmp_path)
        service = Service(name="paint", scaling=Scaling(max_replicas=8)).model_copy(update=changes)
        return KServeTarget(Cluster("default", kubeconfig=kubeconfig), service, places)

    return make


@pytest.fixture
def target(api: FakeKubernetesApi, make_target: Callable[[FakeKubernetesApi], KServeTarget]) -> KServeTarget:
    return make_target(api)


@pytest.fixture
def runs_as(tmp_path: Path, places: Places) -> RunsAs:
    """A signed bundle around one of the graphs, as version so many of the model."""

    def make(graph: str, version: int, reference: bytes = b"") -> Revision:
        lineage = Lineage(
            use_case="paint", snapshot_id="0" * 64, as_of=datetime(2020, 1, 1, tzinfo=UTC), kind=graph, seed=1
        )
        bundle = write_bundle(
            places.bundles,
            onnx=onnx.parser.parse_model(GRAPHS[graph]).SerializeToString(),
            signature=SIGNATURE,
            reference=reference,
            slo=SLO,
            card="",
            lineage=lineage,
            key=load_or_create_key(tmp_path / "keys"),
        )
        return revision_of(bundle, verify_key=places.verify_key, version=version)

    return make
