"""`dibao subscriber ask`: another confirmation for somebody who lost theirs."""

from typing import Annotated

import typer

from mailer.cli.terminal import application, emit, out
from mailer.notices import actions
from mailer.notices.notice import Asked, ConfirmationRefused
from subscribers import queries

_REFUSALS = {
    Asked.TOO_SOON: "They got one within the last day, or it is still under way.",
    Asked.NO_MORE: (
        "They got three and confirmed none. Where they agreed by other means: dibao subscriber add."
    ),
    Asked.NOT_CALLED_FOR: (
        "They have nothing to confirm, or their address is suppressed: dibao subscriber show."
    ),
}


def ask(
    who: Annotated[
        str, typer.Argument(help="An address, or a subscriber's number.", metavar="WHO")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask somebody once more to confirm: one letter a day, three in all, like the form."""
    house = application()
    with house.database.transaction() as session:
        subscriber = queries.find(session, who, key=house.address_key)
        asked = actions.ask(session, subscriber, keyring=house.keyring, now=house.now())
        if asked is not Asked.QUEUED:
            raise ConfirmationRefused(_REFUSALS[asked])
    house.knock("notice.send")
    said = {"subscriber": subscriber, "asked": asked.value}
    emit(said, as_json=as_json, show=lambda: out.print("A confirmation is on its way."))
