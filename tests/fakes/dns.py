"""A name server on this machine that knows the mail hosts it was told of, and nothing else."""

import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from dns import flags, message, rcode, rrset
from dns.asyncresolver import Resolver

SILENT = "silent"
BROKEN = "broken"

Zone = Mapping[str, Sequence[str] | str]
"""Domain -> its MX records as "10 mx.example."; SILENT: no answer comes, BROKEN: SERVFAIL."""


class NameServer:
    """Answers over UDP; a domain it does not know does not exist."""

    def __init__(self, zone: Zone) -> None:
        self.asked: list[str] = []
        self._zone = zone
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def resolver(self) -> Resolver:
        """A resolver that asks here and nowhere else."""
        made = Resolver(configure=False)
        made.nameservers = ["127.0.0.1"]
        made.port = self._socket.getsockname()[1]
        return made

    def _serve(self) -> None:
        while True:
            wire, sender = self._socket.recvfrom(4096)
            if not wire:
                return
            query = message.from_wire(wire)
            domain = query.question[0].name.to_text(omit_final_dot=True)
            self.asked.append(domain)
            records = self._zone.get(domain)
            if records == SILENT:
                continue
            answer = message.make_response(query)
            answer.flags |= flags.RA
            if records is None:
                answer.set_rcode(rcode.NXDOMAIN)
            elif records == BROKEN:
                answer.set_rcode(rcode.SERVFAIL)
            elif records:
                name = query.question[0].name
                answer.answer.append(rrset.from_text_list(name, 300, "IN", "MX", list(records)))
            self._socket.sendto(answer.to_wire(), sender)
