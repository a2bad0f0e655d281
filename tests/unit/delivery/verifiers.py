"""Verifiers of DKIM signatures that know nothing of each other, all asked in the same way."""

import base64
import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.conftest import lacking

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "tests/verifiers"

Key = RSAPrivateKey | Ed25519PrivateKey
Records = Mapping[str, str]  # name in the DNS -> TXT
Verdict = dict[str, bool]  # selector -> whether its signature verifies
Verifier = Callable[[Sequence[bytes], Records], list[Verdict]]


def pem(key: Key) -> str:
    """A private key as the settings take it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def record(key: Key) -> str:
    """The record to publish for a key."""
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        raw, kind = public.public_bytes(Encoding.Raw, PublicFormat.Raw), "ed25519"
    else:
        raw = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kind = "rsa"
    return f"v=DKIM1; k={kind}; p={base64.b64encode(raw).decode()}"


def dkimpy(messages: Sequence[bytes], records: Records) -> list[Verdict]:
    """Python's dkimpy."""

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001  # dkimpy's
        found = records.get(name.decode().rstrip("."))
        return found.encode() if found else None

    return [_dkimpy(message, lookup) for message in messages]


def _dkimpy(message: bytes, lookup: object) -> Verdict:
    made = dkim.DKIM(message, minkey=1024)
    verdict: Verdict = {}
    for place, (name, value) in enumerate(made.headers):
        if name.lower() == b"dkim-signature":
            number = sum(n.lower() == b"dkim-signature" for n, _ in made.headers[:place])
            selector = dkim.util.parse_tag_value(value)[b"s"].decode()
            try:
                verdict[selector] = bool(made.verify(idx=number, dnsfunc=lookup))
            except dkim.DKIMException:
                verdict[selector] = False
    return verdict


def mailauth(messages: Sequence[bytes], records: Records) -> list[Verdict]:
    """JavaScript's mailauth."""
    node = ROOT / ".venv/bin/node"
    command = str(node) if node.exists() else shutil.which("node")
    if not command or not (ROOT / "node_modules/mailauth").exists():
        lacking("mailauth is not installed (make assets)", untested="DKIM with a second verifier")
    return _asked([command, str(SCRIPTS / "mailauth.cjs")], messages, records)


def mail_dkim(messages: Sequence[bytes], records: Records) -> list[Verdict]:
    """Perl's Mail::DKIM; Debian's knows no Ed25519 and says False of it."""
    if not _has_mail_dkim():
        lacking(
            "Mail::DKIM is not installed (apt-get install libmail-dkim-perl)",
            untested="DKIM with a third verifier",
        )
    return _asked(["perl", str(SCRIPTS / "mail_dkim.pl")], messages, records)


@functools.cache
def _has_mail_dkim() -> bool:
    perl = shutil.which("perl")
    return (
        bool(perl)
        and not subprocess.run(
            [str(perl), "-MMail::DKIM::Verifier", "-e1"], capture_output=True, check=False
        ).returncode
    )


def _asked(command: list[str], messages: Sequence[bytes], records: Records) -> list[Verdict]:
    given = {
        "records": dict(records),
        "messages": [base64.b64encode(message).decode() for message in messages],
    }
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=True, timeout=120
    )
    verdicts = json.loads(done.stdout)
    assert len(verdicts) == len(messages)
    return [{s: result == "pass" for s, result in verdict.items()} for verdict in verdicts]
