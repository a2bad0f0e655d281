"""A real mail server takes what we send in every dialect of ours: Postfix, which discards it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.delivery.engine import relay_from_url
from mailer.delivery.exchange import Timeouts
from mailer.delivery.relay import Ending, Message, Reply, Unsent
from tests.certificates import certificate
from tests.conftest import lacking
from tests.servers import free_port

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
DAEMONS = Path("/usr/lib/postfix/sbin")
MAIN = """\
compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
daemon_directory = {1}
command_directory = /usr/sbin
maillog_file = {0}/log
maillog_file_prefixes = {0}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost
mydestination =
default_transport = discard:
relay_transport = discard:
smtpd_recipient_restrictions =
 check_recipient_access inline:{{no@example.org=REJECT}}, permit_mynetworks, reject
smtpd_tls_security_level = may
smtpd_tls_cert_file = {0}/etc/tls.pem
smtpd_tls_key_file = {0}/etc/tls.pem
smtputf8_enable = yes
message_size_limit = 1000000
alias_maps =
"""
MASTER = """\
127.0.0.1:{0} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
discard unix - - n - - discard
bounce unix - - n - 0 bounce
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
OPTIONS = [
    "",
    "?chunking=on",
    "?dsn=failure",
    "?dsn=never&chunking=on",
    "?tls=opportunistic",
    "?tls=opportunistic&chunking=on&dsn=failure",
]


@pytest.fixture(scope="module")
def postfix() -> Iterator[tuple[int, Path]]:
    """Its port, and the authority of its certificate."""
    if os.getuid() or not (DAEMONS / "smtpd").exists() or not shutil.which("postfix", path=PATH):
        lacking("Postfix is not installed, or we are not root", untested="a real mail server")
    with tempfile.TemporaryDirectory() as name:
        root, port = Path(name), free_port()
        root.chmod(0o755)
        for part in ("etc", "queue", "data"):
            (root / part).mkdir(mode=0o755)
        shutil.chown(root / "data", "postfix")
        certificate(root / "etc/tls.pem")
        (root / "etc/main.cf").write_text(MAIN.format(root, DAEMONS))
        (root / "etc/master.cf").write_text(MASTER.format(port))
        command = ["postfix", "-c", str(root / "etc")]
        environment = {**os.environ, "PATH": PATH}
        try:
            subprocess.run([*command, "start"], env=environment, check=True, capture_output=True)
            yield port, root / "etc/tls.pem"
        finally:
            subprocess.run([*command, "abort"], env=environment, check=False, capture_output=True)
            time.sleep(0.2)  # its daemons still write to what is deleted next


def letters() -> list[Message]:
    wanted = [(n, f"reader{n}@example.org", 200_000 if n % 7 == 0 else 500) for n in range(30)]
    wanted += [(30, "no@example.org", 500), (31, "jürgen@bücher.example", 500)]
    wanted += [(32, "ada@example.org", 1_200_000), (33, "ben@example.org", 500)]
    return [
        Message(7, n, 1, 1, 1, to, f"b+cewcaaaabyaaaaaavabcd{n:03}@example.com", data(size))
        for n, to, size in wanted
    ]


def data(size: int) -> bytes:
    head = b"From: <news@example.com>\r\nSubject: x\r\n\r\n.a dot\r\n"
    return head + (b"y" * 70 + b"\r\n") * (size // 72)


def send(url: str) -> dict[str, Ending]:
    way = relay_from_url(url, connections=2, timeouts=Timeouts(reply=20, dot=20))
    ended = {message.recipient: ending for message, ending in way.send(letters())}
    way.close()
    return ended


def check(ended: dict[str, Ending]) -> None:
    refused, long = ended.pop("no@example.org"), ended.pop("ada@example.org")
    assert isinstance(refused, Reply)
    assert (refused.code, refused.enhanced, refused.stage) == (554, "5.7.1", "rcpt")
    assert isinstance(long, Reply)
    assert (long.code, long.text[:6]) == (552, "local:")
    assert len(ended) == 32
    assert {e.code if isinstance(e, Reply) else None for e in ended.values()} == {250}


@pytest.mark.parametrize("options", OPTIONS)
def test_every_dialect(postfix: tuple[int, Path], options: str) -> None:
    check(send(f"smtp://127.0.0.1:{postfix[0]}{options}"))


@pytest.mark.parametrize("options", ["", "&chunking=on&dsn=failure"])
def test_every_dialect_behind_starttls(postfix: tuple[int, Path], options: str) -> None:
    port, authority = postfix

    check(send(f"smtp+starttls://127.0.0.1:{port}?ca={authority}{options}"))


def test_a_certificate_nobody_knows(postfix: tuple[int, Path]) -> None:
    ended = send(f"smtp+starttls://127.0.0.1:{postfix[0]}")

    causes = {e.trouble.cause if isinstance(e, Unsent) else None for e in ended.values()}
    assert causes == {"tls"}
