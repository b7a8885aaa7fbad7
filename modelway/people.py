"""Who is at work: the account of this machine, for the log of decisions."""

import getpass
import os


def account() -> str:
    """The user of this machine; its number where it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
