"""A list of addresses to hold back is read from whatever shape it comes in."""

from io import StringIO

import pytest

from subscribers.address import AddressInvalid, EmailAddress
from subscribers.suppression_list import MAX_LINE, ListInvalid, lines, read


def addresses(text: str) -> list[str]:
    return [str(found) for _, found in read(lines(StringIO(text)))]


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.org\nben@example.org\n",
        "\ufeffEmail\r\nada@example.org\r\n\r\nben@example.org",
        "id,email address,name\n1,ada@example.org,Ada\n2,ben@example.org,Ben\n",
        'name;e-mail\n"L., Ada";ada@example.org\nBen;"ben@example.org"\n',
        "ada@example.org,Ada\nben@example.org,Ben\n",
        "\n\nADDRESS\tsince\nada@example.org\t2026\nben@example.org\t2025\n",
    ],
)
def test_every_usual_shape_gives_the_same_addresses(text: str) -> None:
    assert addresses(text) == ["ada@example.org", "ben@example.org"]


def test_a_row_without_an_address_is_told_by_its_line_and_the_rest_is_read() -> None:
    text = 'email\nada@example.org\nnobody\n"unclosed, ben@example.org\n\nben@example.org\0\n'
    found = list(read(lines(StringIO(text))))

    assert [line for line, one in found if isinstance(one, EmailAddress)] == [2, 6]
    assert [line for line, one in found if isinstance(one, AddressInvalid)] == [3, 4]


def test_a_heading_without_an_address_is_refused() -> None:
    with pytest.raises(ListInvalid):
        addresses("phone,name\n1,Ada\n")
    assert addresses("") == []


def test_a_line_that_never_ends_costs_no_memory_and_one_row() -> None:
    class Watched(StringIO):
        longest = 0

        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
            line = super().readline(size)
            self.longest = max(self.longest, len(line))
            return line

    stream = Watched("ada@example.org\n" + "x" * (MAX_LINE * 5) + "@example.org\nben@example.org\n")
    found = list(read(lines(stream)))

    assert stream.longest <= MAX_LINE + 1
    assert [type(one) for _, one in found] == [EmailAddress, AddressInvalid, EmailAddress]
