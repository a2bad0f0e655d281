"""The edition a bench sends: the theme's where it makes one of that size, else one of its own."""

from collections.abc import Callable

from mailer.content.issue import Issue, Item, Link, Publication, Section
from mailer.rendering.edition import Edition, EditionLink, Slot
from mailer.rendering.render import render

FILLER = "Parcels move by night and the city reads about them in the morning. "
_LINE = 76  # octets of a line in quoted-printable, its soft break included
_ABOUT = 1100  # bytes of a head, near enough


def issue(links: int, words: int) -> Issue:
    """An issue with as many stories as links; each has its sentence `words` times."""
    items = tuple(
        Item(f"story-{n}", f"Story {n}", FILLER * words, url=f"https://news.example/{n}")
        for n in range(links)
    )
    return Issue(
        title="Bench",
        slug="bench",
        sections=(Section(segments=("ai",), items=items),),
        ctas=(Link("More", "https://news.example/more"),),
    )


def rendered(publication: Publication, public_url: str, *, size: int, links: int) -> Edition | None:
    """The theme's, whose message has about the size asked for; None where it has no room."""

    def made(words: int) -> Edition:
        own = issue(links, words)
        return render(own, publication, followed=("ai",), tracking=3, public_url=public_url)

    words = 1
    found = made(words)
    if _size(found) > size:
        return None
    for _ in range(6):
        missing = size - _size(found)
        if abs(missing) < size // 100:
            break
        words = max(1, words + round(missing / links / len(FILLER) / 2))
        found = made(words)
    return found


def own(size_of: Callable[[Edition], int], public_url: str, *, size: int, links: int) -> Edition:
    """An edition whose message `size_of` finds to have exactly the size asked for.

    A link stands in it twice, as in a mail of two parts, and three more tokens for the pixel and
    the ways to leave. Raises ValueError where so many links need more room.
    """
    bare = _edition(public_url, links, 0)
    missing = size - size_of(bare)
    if missing < _LINE:
        raise ValueError(f"{links} links need {size - missing + _LINE} bytes")
    return _edition(public_url, links, missing)


def _edition(public_url: str, links: int, filler: int) -> Edition:
    slots = 2 * links + 3
    share, rest = divmod(filler, slots)
    if share < _LINE // 2:
        share, rest = 0, filler
    pieces = []
    for number in range(slots):
        link = f'<a href=3D"{public_url}/c/=\r\n'
        before = '=\r\n/1">More</a>=\r\n' if number else ""
        pieces.append(before + _filler(share + (rest if number == 0 else 0)) + link)
    pieces.append('=\r\n/1">More</a>\r\n')
    return Edition(
        segments=("ai",),
        tracking=3,
        language="en",
        subject="Bench",
        preheader="",
        html="<p>Bench</p>",
        text="Bench",
        links=tuple(
            EditionLink(n, f"https://news.example/{n}", f"story-{n}", "headline", f"Story {n}")
            for n in range(1, links + 1)
        ),
        content_type='text/html; charset="utf-8"',
        pieces=tuple(pieces),
        slots=tuple(Slot(n, "token", "", markup=True, base64=False) for n in range(1, slots + 1)),
        sha256="",
        html_bytes=filler,
        text_bytes=0,
    ).sealed()


def _filler(size: int) -> str:
    """Lines in quoted-printable, soft breaks and all, of so many octets together."""
    if not size:
        return ""
    whole, rest = divmod(size, _LINE)
    lines = [_LINE] * whole
    if 0 < rest < 4 and lines:  # too short for a line of its own
        lines[-1] -= 4
        rest += 4
    return "".join("x" * (length - 3) + "=\r\n" for length in [*lines, rest] if length)


def _size(edition: Edition) -> int:
    return _ABOUT + sum(len(piece) for piece in edition.pieces) + 24 * len(edition.slots)
