"""Our gateway with one replica of one revision: `python -P gateway_server.py ROOT BUNDLE KEY`.

Prints the gateway's port and the replica's once both serve, and stops both when standard input ends.
"""

import sys
from pathlib import Path

from modelway.bundle.bundle import Bundle
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision


def main(root: Path, bundle: Path, key: Path) -> None:
    """Serve until whoever started it goes away."""
    digest = Bundle.open(bundle, verify_key=key).digest
    target = LocalTarget(root)
    try:
        target.serve(Revision(id="r1", bundle=bundle, digest=digest, verify_key=key))
        status = target.status()
        if status is None:
            raise SystemExit("the gateway ended at once")
        print(status.port, status.revisions["r1"].replicas[0].port, flush=True)
        sys.stdin.read()
    finally:
        target.stop()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
