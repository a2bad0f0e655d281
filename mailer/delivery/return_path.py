"""Return paths that say whose bounce it is: one per recipient (VERP).

`b+<token>@<bounce domain>`. The token is base32, so that relays which lower-case or upper-case an
address do no harm; nor does a `+` that some gateway made a `-` or a `=`.
"""

import re

_OURS = re.compile(r"<?b[+=-]([a-z2-7]{24})@[^@\s]+>?", re.IGNORECASE).fullmatch


def return_path(token: str, domain: str) -> str:
    """The envelope sender of one message; the local part is 26 octets of the 64 allowed."""
    return f"b+{token}@{domain}"


def token_of(address: str) -> str | None:
    """The token in one of our return paths, lower case; None where it is none of ours.

    Says nothing about who signed it: `kit.signing` does.
    """
    match = _OURS(address.strip())
    return match[1].lower() if match else None
