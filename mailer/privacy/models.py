"""Tables of privacy: `erasure_mark`, `retention`: how far each has come. Neither names anybody."""

from datetime import datetime

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from mailer.kit.database import Base, Moment


class ErasureMarkRow(Base):
    """`erasure_mark`: how much of a file of erasures this database has been through.

    A restored backup brings an older mark back, and so the erasures since then are done again.
    """

    __tablename__ = "erasure_mark"

    file: Mapped[str] = mapped_column(Text, primary_key=True)  # the number in its first line
    octets: Mapped[int] = mapped_column(BigInteger)


class RetentionRow(Base):
    """`retention`: when a class of data was last gone through, and what is gone up to when."""

    __tablename__ = "retention"

    kind: Mapped[str] = mapped_column(Text, primary_key=True)  # retention.Kind; "" for all of them
    before: Mapped[datetime] = mapped_column(Moment)  # whatever is older is gone
    gone: Mapped[int] = mapped_column(BigInteger, default=0)  # since the beginning
    at: Mapped[datetime] = mapped_column(Moment)
