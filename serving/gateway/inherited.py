"""A child process that `subprocess` does not know: started before this process replaced its own program."""

import os
import subprocess
import time

_POLL_S = 0.02
_UNKNOWN = 255


class Inherited:
    """Speaks as `subprocess.Popen` does, as far as `Child` listens.

    A process id cannot be reused before its parent has waited for it, and nobody else can have done so.
    """

    def __init__(self, pid: int) -> None:
        """Take a process id on trust; the first `poll` says whether it is a child of ours."""
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. 255 where it is no child of ours."""
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = _UNKNOWN
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: It still ran after `timeout` seconds.
        """
        deadline_s = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        """Send it, unless the process is gone."""
        if self.poll() is None:
            os.kill(self.pid, number)
