"""Sockets: one thread, one poller, plain non-blocking calls. Protocols are wired on top."""
