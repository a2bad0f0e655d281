"""Whether a workbook, which is an archive of XML, is safe to open: looked at before it is expanded.

The headers of an archive are whatever its maker wrote, so its parts are also inflated once, piece
by piece, and thrown away: what they say of their size has to be true. `measure` reads the XML in
the same way.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from subscribers.intake.measure import ADVICE, Ods, Sheet, Strings, Xml
from subscribers.intake.row import FileInvalid

MAX_PARTS: Final = 1000
MAX_EXPANDED: Final = 200 * 2**20  # octets, all parts together
MAX_RATIO: Final = 200  # expanded to compressed; a table of equal rows reaches some 50
_SMALL: Final = 2**20  # octets: below it a ratio says nothing
_PIECE: Final = 2**16  # octets
_KINDS: Final = {"xl/workbook.xml": "XLSX", "xl/workbook.bin": "XLSB", "content.xml": "ODS"}
_SHARED: Final = "xl/sharedstrings.xml"
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError),
    NotImplementedError,  # it asks for a version of the format that nobody has
)
_NESTED: Final = (".zip", ".xlsx", ".xlsm", ".ods", ".jar", ".gz", ".7z", ".rar")


def check(stream: IO[bytes]) -> str:
    """Look a workbook through without expanding it into memory; return its kind: XLSX or ODS.

    Raises FileInvalid with the reason it is not opened.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            parts = archive.infolist()
            _check_names(parts)
            _check_sizes(parts)
            for part in parts:
                for _ in _inflated(stream, part):
                    pass
            names = {_folded(part): part for part in parts}
            kinds = [kind for name, kind in _KINDS.items() if name in names]
            if kinds == ["XLSX"]:
                _check_xlsx(stream, names)
                return "XLSX"
            if kinds == ["ODS"]:
                _check_ods(stream, names)
                return "ODS"
            if kinds:
                raise FileInvalid(
                    "The workbook is binary (XLSB), or of two kinds; save it as XLSX."
                )
    except _BROKEN as broken:
        raise FileInvalid("The file is a damaged archive.") from broken
    raise FileInvalid("The file is an archive and no workbook; unpack it and import what is in it.")


def _folded(part: zipfile.ZipInfo) -> str:
    """A part's name as readers of workbooks look for it: capital or small, whichever slash."""
    return part.orig_filename.replace("\\", "/").casefold()


def _check_names(parts: list[zipfile.ZipInfo]) -> None:
    if len(parts) > MAX_PARTS:
        raise FileInvalid(f"The archive has {len(parts):,} parts; a workbook has at most 1,000.")
    for part in parts:
        name = part.orig_filename
        pieces = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in pieces or ":" in name or "\0" in name:
            raise FileInvalid("The archive has a part that is to be put outside of it.")
        if stat.S_ISLNK(part.external_attr >> 16):
            raise FileInvalid("The archive has a part that only points elsewhere.")
        if part.flag_bits & 0x1:
            raise FileInvalid("The workbook is encrypted; save it without a password.")
        if name.casefold().endswith(_NESTED):
            raise FileInvalid("The archive has another archive in it.")
        if part.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise FileInvalid("The archive is packed in a way no workbook is.")
    if len(set(map(_folded, parts))) < len(parts):
        raise FileInvalid("The archive has two parts of one name.")


def _check_sizes(parts: list[zipfile.ZipInfo]) -> None:
    expanded = sum(part.file_size for part in parts)
    if expanded > MAX_EXPANDED:
        raise FileInvalid(
            f"The workbook has {expanded >> 20:,} MB when expanded; at most "
            f"{MAX_EXPANDED >> 20}{ADVICE}."
        )
    for part in parts:
        if part.file_size > _SMALL and part.file_size > MAX_RATIO * max(1, part.compress_size):
            raise FileInvalid(f"The archive expands more than {MAX_RATIO}-fold: no table does.")
    end = 0
    for part in sorted(parts, key=lambda part: part.header_offset):
        if part.header_offset < end:
            raise FileInvalid("The archive has parts that lie on top of each other.")
        end = part.header_offset + 30 + part.compress_size


def _inflated(stream: IO[bytes], part: zipfile.ZipInfo) -> Iterator[bytes]:
    """Inflate a part piece by piece. Raises FileInvalid where it is longer than it says."""
    stream.seek(part.header_offset)
    header = stream.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile
    named = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    stream.seek(part.header_offset + 30 + named)
    left, size, unpack = part.compress_size, 0, zlib.decompressobj(-15)
    stored = part.compress_type == zipfile.ZIP_STORED
    rest = b""
    while left > 0 or rest:
        if not rest:
            rest = stream.read(min(_PIECE, left))
            left -= len(rest)
            if not rest:
                raise zipfile.BadZipFile
        piece = rest if stored else unpack.decompress(rest, _PIECE)
        rest = b"" if stored else unpack.unconsumed_tail
        size += len(piece)
        if size > part.file_size:
            raise FileInvalid("The archive has a part that is longer than it says.")
        yield piece
        if unpack.eof:
            break


def _check_xlsx(stream: IO[bytes], names: dict[str, zipfile.ZipInfo]) -> None:
    """Measure every part as if it were the sheet: any of them can be named as that."""
    strings = Strings()
    if (part := names.get(_SHARED)) is not None:
        strings.read(_inflated(stream, part))
    for name, part in names.items():
        if name.endswith((".xml", ".rels")):
            if name != _SHARED:
                Sheet(strings.lengths).read(_inflated(stream, part))
        elif _holds(_inflated(stream, part), b"sheetData"):
            raise FileInvalid("The workbook has a sheet under a name that no sheet has.")


def _holds(pieces: Iterator[bytes], word: bytes) -> bool:
    end = b""
    for piece in pieces:
        if word in end + piece:
            return True
        end = piece[-len(word) :]
    return False


def _check_ods(stream: IO[bytes], names: dict[str, zipfile.ZipInfo]) -> None:
    for name, part in names.items():
        if name.endswith((".xml", ".rdf")):
            reader = Ods() if name == "content.xml" else Xml()
            reader.read(_inflated(stream, part))
