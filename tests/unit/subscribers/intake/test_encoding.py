"""The encoding of a file is found out from its beginning, and a guess is said to be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.intake.encoding import find
from subscribers.intake.row import FileInvalid

CHINESE = "邮箱,姓名\nwang@example.org,王小明\nli@example.org,李娜\n"
FRENCH = "email,nom\njose@example.org,José Pérez\nzoe@example.org,Zoë Müller\n"


@pytest.mark.parametrize(
    ("octets", "codec"),
    [
        (b"email,name\n", "utf-8"),
        (CHINESE.encode(), "utf-8"),
        (CHINESE.encode("utf-8-sig"), "utf-8-sig"),
        (CHINESE.encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + CHINESE.encode("utf-16-be"), "utf-16"),
        (CHINESE.encode("gb18030"), "gb18030"),
        (FRENCH.encode("cp1252"), "cp1252"),
        (CHINESE.encode() + b"broken@example.org,\xff\n", "utf-8"),
        (b"", "utf-8"),
    ],
)
def test_the_encoding_is_found_out(octets: bytes, codec: str) -> None:
    assert find(octets).codec == codec


def test_what_is_guessed_is_said() -> None:
    assert find(CHINESE.encode()).note == ""
    assert "--encoding" in find(CHINESE.encode("gb18030")).note
    assert "Windows-1252" in find(FRENCH.encode("cp1252")).note


def test_utf_16_without_a_mark_is_not_guessed() -> None:
    with pytest.raises(FileInvalid, match="utf-16-le"):
        find(FRENCH.encode("utf-16-le"))
    assert find(FRENCH.encode("utf-16-le"), "utf-16-le").codec == "utf-16-le"


@pytest.mark.parametrize("asked", ["klingon", "hex", "rot13", "\0"])
def test_an_encoding_nobody_knows_is_refused(asked: str) -> None:
    with pytest.raises(FileInvalid, match="No encoding"):
        find(b"email\n", asked)


@pytest.mark.parametrize("asked", ["idna", "punycode", "utf-16"])
def test_an_encoding_the_file_cannot_be_read_in_is_refused(asked: str) -> None:
    with pytest.raises(FileInvalid, match=f"cannot be read as {asked}"):
        find(b"email,name\nada@example.org,Ad\xe9\n", asked)


@given(st.binary(max_size=200))
def test_any_octets_have_an_answer(octets: bytes) -> None:
    try:
        assert find(octets).words
    except FileInvalid:
        assert b"\0" in octets
