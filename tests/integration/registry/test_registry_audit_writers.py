"""The audit log under several processes that write at once."""

import subprocess
import sys

from modelway.registry.audit import AuditLog

WRITER = """
import sys
from pathlib import Path
from modelway.registry.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for i in range(25):
    log.append("e", "s", who=sys.argv[2], why=f"entry {i}")
"""


def test_writers_in_several_processes_lose_nothing_and_keep_one_chain(tmp_path):
    path = tmp_path / "audit.db"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"writer {i}"]) for i in range(3)]
    codes = [writer.wait(timeout=100) for writer in writers]

    log = AuditLog(path)
    assert codes == [0, 0, 0]
    assert len(log.entries()) == 75
    assert log.verify().passed
    for i in range(3):
        mine = [entry.why for entry in log.entries() if entry.who == f"writer {i}"]
        assert mine == [f"entry {n}" for n in range(25)]
