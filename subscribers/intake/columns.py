"""Which column of a file is what: by whose export it is, by heading, by content, or as told."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from subscribers.address import AddressInvalid, EmailAddress
from subscribers.fields import CustomField
from subscribers.intake import peers
from subscribers.intake.peers import folded
from subscribers.intake.row import FileInvalid

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": (
        *("email", "e-mail", "mail", "email address", "e-mail address", "address"),
        *("subscriber email", "邮箱", "电子邮件", "电子邮箱", "邮箱地址", "邮件地址", "邮件"),
    ),
    "name": ("name", "full name", "subscriber name", "display name", "姓名", "全名", "名称"),
    "first_name": ("first name", "firstname", "given name", "forename", "fname", "名", "名字"),
    "last_name": ("last name", "lastname", "family name", "surname", "lname", "姓", "姓氏"),
    "segments": ("segments", "segment", "topics", "分类", "主题", "订阅分类"),
    "language": ("language", "lang", "locale", "语言"),
    "timezone": ("timezone", "time zone", "时区"),
    "status": ("status", "subscription status", "state", "状态", "订阅状态"),
}
"""The columns an import reads, and what they may be called, folded."""

TARGETS: Final = (*HEADINGS, "agreed")
"""What `--map` may name besides the keys of custom fields; agreed: the moment they did."""

_ONCE: Final = frozenset({*HEADINGS})
SAMPLE: Final = 50  # rows that show which column holds addresses


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file."""

    heading: str  # as written
    target: str  # see `targets`; "" is not read
    why: str  # export, heading, field, content, told; "" where it is not read


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file are."""

    each: tuple[Column, ...]  # in the order of the file
    peer: str = ""  # whose export it is, where it is known
    status: str = ""  # what the file's name says of everybody in it

    @property
    def ignored(self) -> tuple[str, ...]:
        """Headings that are not read, as written."""
        return tuple(column.heading for column in self.each if not column.target)

    def where(self, *targets: str) -> tuple[int, ...]:
        """The positions of the columns that are one of these, in the order of the file."""
        return tuple(n for n, column in enumerate(self.each) if column.target in targets)


def understand(
    headings: Sequence[str],
    sample: Sequence[Sequence[str]],
    schema: Sequence[CustomField],
    *,
    told: Mapping[str, str],
    file_name: str = "",
) -> Columns:
    """Find out what each column is.

    `told` leads from headings to targets, "" for a column not to be read, and goes before what is
    guessed. Raises FileInvalid where there is no column of addresses, where two columns are the
    same, and where `told` names what is not there.
    """
    wanted = _told(headings, schema, told)
    peer = peers.recognise(headings)
    each = [
        _column(heading, wanted, peer.columns if peer else None, schema) for heading in headings
    ]
    if not any(column.target == "email" for column in each):
        each = _by_content(each, sample, wanted)
    _check(each)
    status = peers.status_of_file(peer, file_name)
    return Columns(tuple(each), peer.name if peer else "", status)


def parse_told(options: Sequence[str]) -> dict[str, str]:
    """Read `Heading=target` words. Raises FileInvalid for one that is not of this form."""
    told = {}
    for option in options:
        heading, sign, target = option.rpartition("=")
        if not sign or not heading.strip():
            raise FileInvalid(f'--map takes "Heading=field", not {option[:60]!r}.')
        told[folded(heading)] = target.strip()
    return told


def _told(
    headings: Sequence[str], schema: Sequence[CustomField], told: Mapping[str, str]
) -> dict[str, str]:
    there = {folded(heading) for heading in headings}
    keys = {field.key for field in schema}
    for heading, target in told.items():
        if heading not in there:
            raise FileInvalid(f"No column is called {heading!r}; there are: {_listed(headings)}.")
        if target and target not in keys and target not in TARGETS:
            known = ", ".join((*TARGETS, *sorted(keys)))
            raise FileInvalid(f"There is no field {target!r} to map to; there are: {known}.")
    return {
        heading: target if not target or target in TARGETS else f"field:{target}"
        for heading, target in told.items()
    }


def _column(
    heading: str,
    wanted: Mapping[str, str],
    exported: Mapping[str, str] | None,
    schema: Sequence[CustomField],
) -> Column:
    name = folded(heading)
    if name in wanted:
        return Column(heading, wanted[name], "told" if wanted[name] else "")
    if exported and name in exported:
        return Column(heading, exported[name], "export")
    if exported is None:
        for target, called in HEADINGS.items():
            if name in called:
                return Column(heading, target, "heading")
    for field in schema:
        if name in {folded(field.key), folded(field.label)}:
            return Column(heading, f"field:{field.key}", "field")
    segments = name in HEADINGS["segments"]  # which no peer exports by this name
    return Column(heading, "segments" if segments else "", "heading" if segments else "")


def _by_content(
    each: list[Column], sample: Sequence[Sequence[str]], wanted: Mapping[str, str]
) -> list[Column]:
    """Take the column where most cells are addresses for that of the addresses."""
    for n, column in enumerate(each):
        cells = [row[n] for row in sample[:SAMPLE] if n < len(row) and row[n]]
        free = not column.target and folded(column.heading) not in wanted
        if free and cells and sum(map(_is_address, cells)) * 2 > len(cells):
            return [*each[:n], Column(column.heading, "email", "content"), *each[n + 1 :]]
    return each


def _is_address(cell: str) -> bool:
    try:
        EmailAddress.parse(cell)
    except AddressInvalid:
        return False
    return True


def _check(each: Sequence[Column]) -> None:
    targets = [column.target for column in each]
    if "email" not in targets:
        if any(_is_address(column.heading) for column in each):
            raise FileInvalid("The first row is a person: put a row that names the columns first.")
        raise FileInvalid(
            "The first row has to name the columns, and none is called email; it reads: "
            f"{_listed([column.heading for column in each])}. "
            'Say which one it is: --map "Heading=email".'
        )
    for target in _repeated(targets):
        called = [column.heading for column in each if column.target == target]
        raise FileInvalid(
            f"{len(called)} columns are the {target.removeprefix('field:')}: {_listed(called)}. "
            'Leave all but one out (--map "Heading="), or rename one.'
        )


def _repeated(targets: Sequence[str]) -> Iterator[str]:
    for target in dict.fromkeys(targets):
        once = target in _ONCE or target.startswith("field:")
        if once and targets.count(target) > 1:
            yield target


def _listed(headings: Sequence[str]) -> str:
    return ", ".join(headings)[:200]
