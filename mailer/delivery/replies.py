"""What an SMTP server says, from bytes to replies (RFC 5321 section 4.2), however it is cut up.

Codes are told apart by number only; enhanced codes (RFC 2034) count if their class is the code's.
"""

import re

from mailer.delivery.relay import Reply, Stage

_LINE = 4096  # bytes of one line we put up with; RFC 5321 4.5.3.1.5 says 512
_LINES = 200  # lines of one reply
_CODES = {b"%d" % code: code for code in range(200, 600)}
_ENHANCED = re.compile(r"([245])\.\d{1,3}\.\d{1,3}(?=\s|$)")
_ADDRESS = re.compile(r"<?[^\s<>\"'(]*@[^\s<>,;:\"')]*>?")
_CUT = "<…>"

Answer = tuple[int, bytes]  # code, text; the lines of a longer text are parted by LF


class NoSmtp(Exception):
    """What came is no SMTP reply, or one without end."""


class Replies:
    """Bytes in, whole answers out."""

    def __init__(self) -> None:
        self._rest = b""  # of a line not yet whole
        self._more: list[bytes] = []  # lines of an answer not yet whole
        self._code = 0

    def feed(self, data: bytes) -> list[Answer]:
        """The answers that are whole now. Raises NoSmtp, and then no more can be understood."""
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        answers: list[Answer] = []
        for line in lines:
            code = _CODES.get(line[:3])
            mark = line[3:4]
            if code is None or mark not in b" -\r" or len(line) > _LINE:
                return self._spoilt(answers)
            if mark == b"-":
                self._more.append(line[4:].rstrip())
                if len(self._more) > _LINES or self._code not in {0, code}:
                    return self._spoilt(answers)
                self._code = code
            elif self._more:
                if code != self._code:
                    return self._spoilt(answers)
                answers.append((code, b"\n".join([*self._more, line[4:].rstrip()])))
                self._more, self._code = [], 0
            else:
                answers.append((code, line[4:].rstrip()))
        if len(self._rest) > _LINE:
            return self._spoilt(answers)
        return answers

    def clear(self) -> None:
        """Forget what is not whole yet."""
        self._rest, self._more, self._code = b"", [], 0

    def _spoilt(self, answers: list[Answer]) -> list[Answer]:
        """Answers before the nonsense still count; the nonsense is met again next time."""
        if not answers:
            raise NoSmtp("the relay speaks no SMTP")
        self._rest, self._more, self._code = b"?\n", [], 0
        return answers


def reply(code: int, text: bytes, stage: Stage, recipient: str) -> Reply:
    """An answer as a reply, with the recipient's and every other address cut out."""
    words = text.decode("utf-8", "replace").replace("\n", " ")
    enhanced = ""
    if words[1:2] == ".":
        match = _ENHANCED.match(words)
        if match is not None:
            enhanced = match[0] if words[0] == str(code)[0] else ""
            words = words[match.end() :].lstrip()
    if "@" in words:
        words = _ADDRESS.sub(_CUT, words)
    local = recipient.rpartition("@")[0]
    if len(local) > 2 and local.casefold() in words.casefold():  # "user ada is unknown"
        words = re.sub(rf"(?i)(?<!\w){re.escape(local)}(?!\w)", _CUT, words)
    if not words.isprintable():
        words = "".join(character if character.isprintable() else "?" for character in words)
    return Reply(code, enhanced, words[:200], stage)


def brief(code: int, text: bytes, recipient: str = "") -> str:
    """An answer for an error message: code and first 100 characters, addresses cut out."""
    said = reply(code, text, "mail", recipient)
    return f"{code} {said.enhanced} {said.text[:100]}".replace("  ", " ").rstrip()
