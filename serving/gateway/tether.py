"""Run a program that ends when its parent does: `python -m serving.gateway.tether PARENT_PID PROGRAM …`.

A supervisor that was killed with -9 cannot stop its children; the kernel can. PR_SET_PDEATHSIG survives
the exec and follows the *thread* that started us, so the supervisor starts children from its main thread.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Tie this process to its parent, then become the program."""
    parent, program = int(argv[0]), argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we were tied
        sys.exit(0)
    os.execv(program[0], program)  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
