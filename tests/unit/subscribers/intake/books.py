"""Workbooks made for tests, good ones and bad ones."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import xlsxwriter

MANIFEST = (
    '<?xml version="1.0"?><manifest:manifest '
    'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
)
TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"


def xlsx(*sheets: Sequence[Sequence[Any]]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
        for rows in sheets:
            sheet = book.add_worksheet()
            for r, row in enumerate(rows):
                for c, cell in enumerate(row):
                    if isinstance(cell, datetime):
                        sheet.write_datetime(r, c, cell, moment)
                    else:
                        sheet.write(r, c, cell)
    return file.getvalue()


def packed(parts: Mapping[str, str | bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def ods(rows: str, declared: str = "") -> bytes:
    """An ODS whose first table has the rows, as XML."""
    content = (
        f'<?xml version="1.0"?>{declared}<office:document-content xmlns:office="{OFFICE}" '
        f'xmlns:table="{TABLE}" xmlns:text="{TEXT}"><office:body><office:spreadsheet>'
        f'<table:table table:name="People">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    return packed({"mimetype": ODS_TYPE, "META-INF/manifest.xml": MANIFEST, "content.xml": content})


def cell(text: str, repeated: int = 1) -> str:
    return (
        f'<table:table-cell office:value-type="string" '
        f'table:number-columns-repeated="{repeated}"><text:p>{text}</text:p></table:table-cell>'
    )


def row(*cells: str, repeated: int = 1) -> str:
    attribute = f' table:number-rows-repeated="{repeated}"'
    return f"<table:table-row{attribute}>{''.join(cells)}</table:table-row>"


def replaced(book: bytes, name: str, content: str | bytes) -> bytes:
    """A workbook with one part replaced."""
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        parts = {each: archive.read(each) for each in archive.namelist()}
    return packed({**parts, name: content})
