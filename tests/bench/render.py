"""What an edition costs: compiled once for many, spliced once for each.

Prints one line of JSON: `python -m tests.bench.render`. Times are processor time on one core.
"""

import json
import statistics
import time
from collections.abc import Callable

from mailer.rendering import encode, fields, prose
from mailer.rendering.edition import Edition
from mailer.rendering.personalise import Splicer, reader
from mailer.rendering.render import render
from tests.golden.rendering import samples

ALL = ("e-commerce", "ai", "luxury")
ADA = reader("abcdefghijklmnopqrstuvwx", name="Ada Lovelace", address="ada@example.org")
POINTS = 60


def edition() -> Edition:
    """Forty-five items with pictures and 200 characters of text."""
    return render(
        samples.many(45),
        samples.PUBLICATION,
        followed=ALL,
        tracking=3,
        public_url="https://news.example.org",
    )


def of_60_kb(words: str) -> Edition:
    """An edition of 60 kB of HTML and 60 points, 58 of them links, one a first name."""
    size = 60_000 // (POINTS - 1) - 80
    filler = (words * 200).encode()[:size].decode(errors="ignore")
    links = (
        f'<p><a href="https://news.example.org/c/{fields.TOKEN}/{n}">{filler}</a></p>\n'
        for n in range(POINTS - 2)
    )
    greeting = fields.mark("<p>Good morning {{ first_name|reader }}</p>")
    html = "".join((greeting, *links, fields.TOKEN))
    body = encode.body("", html)
    return Edition(
        segments=ALL,
        tracking=3,
        language="en",
        subject="",
        preheader="",
        html=html,
        text="",
        links=(),
        content_type=body.content_type,
        pieces=body.pieces,
        slots=body.slots,
        sha256="",
        html_bytes=len(html.encode()),
        text_bytes=0,
    )


def cold() -> Edition:
    """An edition whose bodies nobody has read yet."""
    prose.read.cache_clear()
    return edition()


def median(work: Callable[[], object], *, times: int, repeats: int = 1) -> float:
    """Seconds of processor time for one call."""
    taken = []
    for _ in range(times):
        start = time.process_time_ns()
        for _ in range(repeats):
            work()
        taken.append((time.process_time_ns() - start) / repeats)
    return statistics.median(taken) / 1e9


def main() -> None:
    """Measure and print."""
    made = edition()
    digest = Splicer(made)
    latin = Splicer(of_60_kb("Parcels are slow, and buyers are happy. "))
    chinese = Splicer(of_60_kb("慢一点的快递更受欢迎，商家如此表示。"))
    figures = {
        "items": 45,
        "html_bytes": made.html_bytes,
        "text_bytes": made.text_bytes,
        "body_bytes": len(digest.body(ADA)),
        "points": len(made.slots),
        "compile_cold_ms": round(median(cold, times=15) * 1e3, 1),
        "compile_warm_ms": round(median(edition, times=15) * 1e3, 1),
        "splice_us": round(median(lambda: digest.body(ADA), times=50, repeats=40) * 1e6, 1),
        "splice_60kb_us": round(median(lambda: latin.body(ADA), times=50, repeats=40) * 1e6, 1),
        "splice_60kb_base64_us": round(
            median(lambda: chinese.body(ADA), times=50, repeats=40) * 1e6, 1
        ),
    }
    print(json.dumps(figures))  # noqa: T201  # a benchmark's result is what it prints


if __name__ == "__main__":
    main()
