"""Table of the reports: `rollup`, counters kept in the transaction that stores the events."""

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment


class RollupRow(Base):
    """`rollup`: hits and people of one measure, class, hour and place.

    Places are nested: the campaign (item and link empty), an item, a link. Each is counted for
    everybody (segment empty) and once more for each segment of the reader's edition. A person
    stands in the hour they came first, so hours add up to people; segments and items do not.
    """

    __tablename__ = "rollup"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    segment: Mapped[str] = mapped_column(Text, primary_key=True)  # key, or ""
    item: Mapped[str] = mapped_column(Text, primary_key=True)  # Item.id, or ""
    link: Mapped[str] = mapped_column(Text, primary_key=True)  # tracking.event.link_key, or ""
    measure: Mapped[str] = mapped_column(Text, primary_key=True)  # open, click, unsubscribe
    verdict: Mapped[str] = mapped_column(Text, primary_key=True)  # person, unsure, machine
    hour: Mapped[datetime] = mapped_column(Moment, primary_key=True)  # its beginning, UTC
    hits: Mapped[int]
    people: Mapped[int]
