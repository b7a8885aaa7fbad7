import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the fakes are test equipment, not packages

from fake_kubelets import InstantKubelet
from fake_kubernetes_api import FakeKubernetesApi


@pytest.fixture
def kubelet() -> InstantKubelet:
    return InstantKubelet()


@pytest.fixture
def api(kubelet: InstantKubelet) -> Iterator[FakeKubernetesApi]:
    """A cluster whose controllers run when told to."""
    with FakeKubernetesApi(kubelet) as api:
        yield api
