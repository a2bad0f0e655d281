"""Whether a body is hashed as it is: what `mailer.delivery.dkim` takes for granted."""

import re

_UNCANONICAL = re.compile(rb"[ \t][ \t\r]|\t|(?<!\r)\n|\r(?!\n)|\r\n\r\n\Z").search


def is_canonical(body: bytes) -> bool:
    """Whether hashing the body as it is equals hashing its relaxed form (RFC 6376 3.4.4)."""
    return body.endswith(b"\r\n") and body != b"\r\n" and _UNCANONICAL(body) is None
