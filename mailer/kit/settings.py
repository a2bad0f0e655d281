"""Every knob, with its unit, default and reason; read once from DIBAO_*.

Each may also come from a file named by DIBAO_*_FILE (Docker and Podman secrets). An unknown or
invalid one stops the start with a sentence that names it.
"""

import difflib
import ipaddress
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from mailer.kit.errors import Misconfigured

PREFIX = "DIBAO_"
DEFAULT_SECRET = "for trying out only: set DIBAO_SECRET_KEY"  # noqa: S105  # refused in production


_DAY = 86_400  # seconds
_KINDS = {
    "smtp_url": ("inbox", "smtp", "smtp+starttls", "smtps"),
    "broker_url": ("memory", "redis", "rediss", "amqp", "amqps"),
}
_SECRETS = 16  # at most; a token has four bits for the number of its key
_SECRET = 16  # characters of one in production: a token in hand allows guessing offline
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_HOST = r"[^\W_](?:[\w-]*[^\W_])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_HOST}(?:\.{_HOST})*")
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@){_ATEXT}(?:\.{_ATEXT})*@{_DOMAIN.pattern}")
_PLACE = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~%/-]*)?"
)
_UNSEEN = re.compile(  # header injection, and what makes a name read otherwise than it is
    "[\x00-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MASK = "**********"  # as pydantic's
_PASSWORD = re.compile(r"(//[^:/@]*:).*(?=@)|(\bpassword=)[^&]*", re.IGNORECASE)


class Settings(BaseModel):
    """One installation."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    env: Literal["development", "production"] = "development"
    """Production refuses the default secret and plain-http public addresses."""

    data_dir: Path = Path("var")
    """Journal, spool and the SQLite file. A local disk that outlives the process: no tmpfs."""

    database_url: str = Field(default="", repr=False)
    """`postgresql://…` or `sqlite:///file`; empty is `dibao.db` in the data directory."""

    broker_url: str = Field(default="memory://", repr=False)
    """`memory://` runs the worker inside the web process; `redis://…` any number of workers."""

    secret_key: SecretStr = SecretStr(DEFAULT_SECRET)
    """Signs links and return paths. Several, separated by spaces: the first signs, all verify."""

    public_url: str = "http://127.0.0.1:8000"
    """Where readers reach us: the base of every link in a mail. No trailing slash."""

    smtp_url: str = Field(default="inbox://", repr=False)
    """The relay: `inbox://` is the built-in inbox; `smtp://[user:pass@]host:port`,
    `smtp+starttls://…` and `smtps://…` are real ones."""

    inbox_host: str = "127.0.0.1"
    """Where the built-in inbox listens."""

    inbox_port: int = Field(default=2525, ge=0, le=65535)
    """Its port; 0 takes any free one."""

    web_host: str = "127.0.0.1"
    """Where the pages are served."""

    web_port: int = Field(default=8000, ge=0, le=65535)
    """Their port."""

    timezone: str = "UTC"
    """The publication's time zone: dates in mails and times without a zone on the command line."""

    publication: str = "The Digital Gazette"
    """The newsletter's name, in headers, footers and pages."""

    tagline: str = ""
    """A line under the name."""

    from_address: str = "news@dibao.example"
    """The address in From."""

    from_name: str = ""
    """The name in From; empty is the publication's."""

    reply_to: str = ""
    """Where answers go; empty is the address in From."""

    postal_address: str = "Dibao, 1 Courier Lane, Springfield"
    """In every footer: most mail laws ask for it."""

    bounce_domain: str = ""
    """Domain of the return path (VERP); empty is the domain of `from_address`."""

    dkim_selector: str = ""
    """DKIM selectors, parted by spaces; empty signs nothing (the relay may)."""

    dkim_key: SecretStr = SecretStr("")
    """As many private keys (PEM, RSA 2048 or Ed25519), in the order of the selectors; best from a
    file: `DIBAO_DKIM_KEY_FILE`."""

    delivery_file: str = ""
    """A TOML file with more than one relay, lanes, warm-up, quiet hours, brakes: docs/pacing.md."""

    journal_mode: Literal["write", "fsync"] = "write"
    """How much the journal survives: `write` the death of a process, `fsync` a power loss too."""

    connections: int = Field(default=20, ge=1, le=500)
    """SMTP connections per worker process, and so the most letters one crash leaves uncertain."""

    batch_size: int = Field(default=1000, ge=1, le=10_000)
    """People per batch, the unit a worker leases."""

    chunk_size: int = Field(default=200, ge=1, le=1000)
    """People per commit; smaller means fewer uncertain if a host is lost with its disk."""

    lease: float = Field(default=60, ge=5, le=_DAY)
    """Seconds a worker's right to a batch lasts without a sign of life."""

    sweep: float = Field(default=5, gt=0, le=_DAY)
    """Seconds between two looks for due work, should every knock be lost."""

    retry_waits: str = "1800 3600 7200 14400"
    """Seconds to wait after each deferral; the last repeats. RFC 5321 4.5.4.1 asks for 30 min."""

    patience: float = Field(default=4 * _DAY, gt=0, le=365 * _DAY)
    """Seconds after the first try when a deferred letter expires. RFC 5321: 4 to 5 days."""

    smtp_timeout: float = Field(default=300, gt=0, le=_DAY)
    """Seconds to wait for any reply but the one to the final dot (RFC 5321 4.5.3.2)."""

    dot_timeout: float = Field(default=600, gt=0, le=_DAY)
    """Seconds to wait for the reply to the final dot (RFC 5321 4.5.3.2.6)."""

    tracking: Literal["none", "opens", "clicks", "all"] = "all"
    """The most this installation ever tracks; people and campaigns may ask for less."""

    same_person: Literal["", "dots", "plus", "dots plus"] = ""
    """Addresses that are one person's beside upper and lower case: Gmail's dots, `+tags`. Fixed
    once people are stored."""

    sign_up: bool = True
    """Whether people may subscribe on the page and through the API."""

    sign_up_network: Literal["none", "truncated", "full"] = "truncated"
    """What is kept of where a consent came from: nothing, its /24 or /48, the whole address."""

    sign_up_work: int = Field(default=0, ge=0, le=24)
    """Bits of proof of work a browser does before signing up (16: about a tenth of a second); 0 is
    none, and no script is needed."""

    trusted_proxies: str = ""
    """Addresses of our own proxies, separated by spaces: only they may say for whom they ask."""

    keep_events: int = Field(default=396, ge=1, le=36_500)
    """Days that opens and clicks are kept (13 months); the counts stay."""

    keep_replies: int = Field(default=90, ge=1, le=36_500)
    """Days that the text of SMTP replies is kept."""

    keep_unconfirmed: int = Field(default=7, ge=1, le=36_500)
    """Days that somebody who never confirmed is kept, and that a confirmation link works."""

    keep_networks: int = Field(default=30, ge=1, le=36_500)
    """Days that it is kept where a consent came from."""

    keep_exports: int = Field(default=24, ge=1, le=8_760)
    """Hours that an exported file is kept."""

    log_format: Literal["console", "json"] = "console"
    """Console for people, JSON for machines."""

    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """What is worth a line."""

    @field_validator("secret_key")
    @classmethod
    def _some_secrets(cls, value: SecretStr) -> SecretStr:
        if not 1 <= len(value.get_secret_value().split()) <= _SECRETS:
            raise ValueError(f"has to be 1 to {_SECRETS} secrets, separated by spaces")
        return value

    @field_validator("data_dir", mode="before")
    @classmethod
    def _a_folder(cls, value: object) -> object:
        if not str(value).strip():  # empty would be the working directory
            raise ValueError("has to name a folder")
        return value

    @field_validator("smtp_url", "broker_url")
    @classmethod
    def _a_known_kind(cls, value: str, field: ValidationInfo) -> str:
        kinds = _KINDS[str(field.field_name)]
        if not value.startswith(tuple(f"{kind}://" for kind in kinds)):
            raise ValueError(f"has to start with {', '.join(f'{kind}://' for kind in kinds)}")
        return value

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("has to start with https:// (or http:// to try things out)")
        value = value.rstrip("/")
        if not _PLACE.fullmatch(value) or len(value) > 200 or not _port_is_one(value):
            raise ValueError(
                "has to be https://host, a port and a path if need be, and nothing more; "
                "write a host beyond ASCII as xn--…"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
            raise ValueError(f"{value[:80]!r} is no time zone; try Europe/Paris") from unknown
        return value

    @field_validator("from_address", "reply_to")
    @classmethod
    def _one_address(cls, value: str, field: ValidationInfo) -> str:
        if not _ADDRESS.fullmatch(value) and (value or field.field_name == "from_address"):
            raise ValueError(f"{value[:80]!r} is no e-mail address")
        return value

    @field_validator("bounce_domain")
    @classmethod
    def _one_domain(cls, value: str) -> str:
        if value and not _DOMAIN.fullmatch(value):
            raise ValueError(f"{value[:80]!r} is no domain")
        return value

    @field_validator("publication", "tagline", "from_name", "postal_address")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if _UNSEEN.search(value):
            raise ValueError("has to be one line without control characters")
        return value

    @field_validator("retry_waits")
    @classmethod
    def _seconds(cls, value: str) -> str:
        waits = value.split()
        if not waits or not all(re.fullmatch(r"[0-9]{1,6}", wait) for wait in waits):
            raise ValueError("has to be seconds separated by spaces, like 1800 3600")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for each in value.split():
            try:
                network = ipaddress.ip_network(each, strict=False)
            except ValueError as wrong:
                raise ValueError(f"{each[:80]!r} is no address and no network") from wrong
            if network.prefixlen == 0:
                raise ValueError(f"{each!r} lets anybody say where they come from; name your own")
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """The signing secrets, newest first."""
        value = self.secret_key.get_secret_value()
        return (value,) if value == DEFAULT_SECRET else tuple(value.split())

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'dibao.db'}"

    @property
    def embedded(self) -> bool:
        """Whether the worker lives in the web process."""
        return self.broker_url.startswith("memory://")

    @property
    def sender_domain(self) -> str:
        """The domain of the address in From."""
        return self.from_address.rpartition("@")[2]


def shown(settings: Settings) -> dict[str, str]:
    """Every setting by its variable's name, as fit for a screen: no secret, no password."""
    values = {name: str(getattr(settings, name)) for name in Settings.model_fields}
    urls = {name: _masked(value) for name, value in values.items() if name.endswith("_url")}
    return {f"{PREFIX}{name.upper()}": value for name, value in (values | urls).items()}


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from DIBAO_* variables. Raises Misconfigured with every fault named."""
    given, faults = _collect(environment)
    try:
        settings = Settings.model_validate(given)
    except ValidationError as invalid:
        faults += [_sentence(error) for error in invalid.errors()]
    if faults:
        raise Misconfigured("\n".join(faults))
    return _fit_for_its_place(settings)


def _collect(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    faults: list[str] = []
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable.startswith(f"{PREFIX}TEST_"):
            continue
        if variable == f"{PREFIX}DEMO_EXIT":  # belongs to `make demo`
            continue
        name = variable.removeprefix(PREFIX).lower()
        from_file = name.endswith("_file") and name not in Settings.model_fields
        name = name.removesuffix("_file") if from_file else name
        if name not in Settings.model_fields:
            close = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""
            faults.append(f"{variable} is no setting of Dibao{hint}")
        elif name in given:
            faults.append(f"{variable}: set {PREFIX}{name.upper()} or its _FILE, not both")
        elif from_file:
            try:
                given[name] = Path(value).read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as unreadable:  # no text, no path
                faults.append(f"{variable}: cannot read {value}: {unreadable}")
        else:
            given[name] = value
    return given, faults


def _masked(url: str) -> str:
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}{_MASK}", url)


def _port_is_one(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"]).upper()
    return f"{PREFIX}{name}: {error['msg'].removeprefix('Value error, ')}"


def _fit_for_its_place(settings: Settings) -> Settings:
    if settings.env == "production":
        if DEFAULT_SECRET in settings.secrets:
            raise Misconfigured("DIBAO_SECRET_KEY: production needs a secret of its own")
        if min(map(len, settings.secrets)) < _SECRET:
            raise Misconfigured(
                f"DIBAO_SECRET_KEY: production needs {_SECRET} characters or more in each secret, "
                "and a space parts two; make one with: openssl rand -hex 32"
            )
        if not settings.public_url.startswith("https://"):
            raise Misconfigured("DIBAO_PUBLIC_URL: one-click unsubscribe needs https (RFC 8058)")
    return settings
