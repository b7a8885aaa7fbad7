"""gRPC on a port: streams of HTTP/2 become calls of methods, their answers become fields and messages."""

import json
from functools import partial
from time import perf_counter_ns
from typing import cast

from serving.runtime.grpc.answers import DONE, begun, ended, refused
from serving.runtime.grpc.calls import DEADLINE_EXCEEDED, INTERNAL, OK, UNIMPLEMENTED, code_of
from serving.runtime.grpc.fields import Fields
from serving.runtime.grpc.heads import RequestHead
from serving.runtime.grpc.http2 import Http2
from serving.runtime.grpc.packing import MessageFault, packed, unpacked
from serving.runtime.grpc.service import Service, Verb
from serving.runtime.grpc.streams import Stream
from serving.runtime.journal import journal
from serving.runtime.net.connection import Wiring
from serving.runtime.problems import shown
from serving.runtime.transport import Headers

__all__ = ["Calls", "wiring"]
_LATE = refused(DEADLINE_EXCEEDED, "the deadline had passed before the call was read")


def wiring(service: Service) -> Wiring:
    """What makes a connection one of gRPC."""
    return partial(Http2, taker=Calls(service))


class Calls:
    """What all connections of a server hand their requests to."""

    def __init__(self, service: Service) -> None:
        """Ask `service`."""
        self._service, self.max_body_bytes = service, service.max_body_bytes

    def head(self, fields: Fields) -> RequestHead:
        """A request's fields, understood; what is not offered is refused before its message is there."""
        head = RequestHead(fields)
        head.verb = self._service.verb(head.path)
        if head.verb is None and head.refusal is None:
            method = shown(head.path.decode(errors="replace"))
            head.refusal = refused(UNIMPLEMENTED, f"no such method: {method}")
        return head

    def take(self, stream: Stream, body: bytes) -> None:
        """Do what a whole request asks."""
        head, start_ns = stream.head, stream.start_ns
        try:
            message = unpacked(body, head.encoding, self.max_body_bytes)
            if head.timeout_ns is not None and perf_counter_ns() - start_ns >= head.timeout_ns:
                stream.http2.only(stream, _LATE)
                return
            cast("Verb", head.verb)(stream, message, partial(_respond, stream), start_ns)
        except MessageFault as fault:
            stream.http2.only(stream, refused(fault.code, str(fault)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            journal("grpc_failed", error=repr(error))
            stream.http2.only(stream, refused(INTERNAL, "internal error"))

    def too_large(self, stream: Stream) -> None:
        """Answer a request that goes on beyond the largest message."""
        text = f"the message is larger than {self.max_body_bytes} bytes; send fewer rows a request"
        _respond(stream, *self._service.refuse(413, text))


def _respond(stream: Stream, status: int, headers: Headers, body: bytes) -> None:
    code = code_of(status)
    if code == OK:
        stream.http2.answer(stream, begun(headers), packed(body), DONE)
    else:
        text = str(json.loads(body).get("error", "internal error"))
        # Head and end in one: of an answer in two pieces a proxy has judged the first, which says 200.
        stream.http2.only(stream, begun(headers) + ended(code, text))
