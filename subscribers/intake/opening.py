"""A file of any kind, opened as a table."""

from typing import IO, Final

from subscribers.intake.delimited import Delimited
from subscribers.intake.row import FileInvalid, Table

_ARCHIVE: Final = b"PK\x03\x04"
_OTHERS: Final = (
    (b"\xd0\xcf\x11\xe0", "a workbook of the old kind, or an encrypted one"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"%PDF", "a PDF"),
    (b"PK\x05\x06", "an empty archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"SQLite format 3", "a database"),
)


def opened(stream: IO[bytes], *, encoding: str = "") -> Table:
    """Open a file that can be wound back: CSV, XLSX or ODS, by how it begins.

    Raises FileInvalid for any other, and for one that would take too much memory.
    """
    stream.seek(0)
    beginning = stream.read(16)
    if beginning.startswith(_ARCHIVE):
        from subscribers.intake.workbook import Workbook  # noqa: PLC0415  # 1 MB, seldom needed

        return Workbook(stream)
    for mark, words in _OTHERS:
        if beginning.startswith(mark):
            raise FileInvalid(f"The file is {words}; save it as CSV in UTF-8, or as XLSX.")
    return Delimited(stream, asked=encoding)
