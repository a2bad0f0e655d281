"""`dibao web` and `dibao inbox`: what keeps running; `worker.py` has the workers."""

import contextlib
import os
import threading
from typing import Annotated

import typer

from mailer.cli.terminal import application, err
from mailer.inbox.server import Inbox
from mailer.kit import settings
from mailer.web import site


def web(
    inbox: Annotated[
        bool, typer.Option("--inbox/--no-inbox", help="Open the built-in inbox as well.")
    ] = True,
) -> None:
    """Serve the pages; embedded (`memory://`), the worker and the sweep run in here too."""
    house = application()
    if inbox:
        house.start_inbox()
    if house.settings.embedded:
        house.start_worker()
    house.start_counting()
    err.print(
        f"Pages at {house.settings.public_url}  (listening on "
        f"{house.settings.web_host}:{house.settings.web_port})"
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):  # told to stop: in order, so with status 0
            site.serve(house)
    finally:
        house.stop()


def inbox() -> None:
    """Open the built-in inbox alone, for rehearsals with workers in other processes."""
    own = settings.read(os.environ)
    server = Inbox(own.inbox_host, own.inbox_port, own.data_dir / "inbox")
    server.start()
    err.print(f"Inbox at {own.inbox_host}:{server.port}; it keeps what it gets. Ctrl-C ends it.")
    try:
        threading.Event().wait()
    finally:
        server.stop()
