"""One run of a worker: batches leased, chunks started, messages out, results in.

Three threads meet here. The relay pulls messages from a thread of its own: that one leases and
starts chunks (`rota.py`). The caller takes the endings (`bookkeeping.py`). A watch looks whether
somebody stopped something, and prolongs the leases (`watch.py`).
"""

from mailer.delivery.bookkeeping import Books
from mailer.delivery.deadline import Deadline
from mailer.delivery.rota import Rota
from mailer.delivery.tools import Tools, Worked
from mailer.delivery.watch import Watch
from mailer.kit.errors import DibaoError


class Run:
    """One run; `work` once, then `settle` until it succeeds."""

    def __init__(self, tools: Tools, *, prefer: int | None, avoid: int) -> None:
        self.broken_off = False  # what is on the wire has no ending: only the journal knows
        self._tools = tools
        self._books = Books(tools)
        self._deadline = Deadline(tools.terms.lease)
        self._rota = Rota(tools, self._books, self._deadline, prefer=prefer, avoid=avoid)

    @property
    def touched(self) -> tuple[int, ...]:
        """The campaigns it worked on, the last one at the end."""
        return tuple(self._rota.touched)

    def work(self) -> Worked:
        """Send what is due until nothing is, or time is up, or somebody stops us.

        Whatever happens, everybody it leased is accounted for at the end, or stays in memory for
        `settle`, or, after an exception that cut the relay short (a signal's, a bug's), has to be
        looked up in the journal: see `broken_off`. Raises what the messages or the database raised.
        """
        watch = Watch(self._tools, self._books, self._deadline, self.halt)
        watch.start()
        relay, hand_in = self._tools.relay, self._books.hand_in
        self.broken_off = True  # until the relay has let go of every message in order
        try:
            messages = self._rota.messages()
            for message, ending in relay.send(messages, in_time=self._deadline.in_time):
                hand_in(message, ending)
            self.broken_off = False
        except DibaoError:
            self.broken_off = False
            raise
        finally:
            self._rota.halted.set()
            watch.stop()
            self.settle()
        books, failed = self._books, self._books.endings.failed
        return Worked(
            books.settled,
            books.deferred,
            self.touched,
            relay_down=next(iter(failed.values()), ""),
            held=self._tools.closures.held,
        )

    def halt(self) -> None:
        """Start nothing more; what is on the wire comes to its end. From any thread."""
        self._rota.halted.set()
        self._tools.relay.stop()

    def settle(self) -> None:
        """Write what is left and give the batches back; those not sent to are free for others.

        Those of a run that was broken off stay leased: the journal has to settle them. Raises
        Unavailable where the database does not answer; nothing is lost then, call again.
        """
        self._books.settle(broken_off=self.broken_off)
