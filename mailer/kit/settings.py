"""Every knob, with its unit, default and reason; read once from DIBAO_*.

Each may also come from a file named by DIBAO_*_FILE (Docker and Podman secrets). An unknown or
invalid one stops the start with a sentence that names it.
"""

import difflib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from mailer.kit.errors import Misconfigured

PREFIX = "DIBAO_"
DEFAULT_SECRET = "for trying out only: set DIBAO_SECRET_KEY"  # noqa: S105  # refused in production


class Settings(BaseModel):
    """One installation."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    env: Literal["development", "production"] = "development"
    """Production refuses the default secret and plain-http public addresses."""

    data_dir: Path = Path("var")
    """Journal, spool and the SQLite file. A local disk that outlives the process: no tmpfs."""

    database_url: str = ""
    """`postgresql://…` or `sqlite:///file`; empty is `dibao.db` in the data directory."""

    broker_url: str = "memory://"
    """`memory://` runs the worker inside the web process; `redis://…` any number of workers."""

    secret_key: SecretStr = SecretStr(DEFAULT_SECRET)
    """Signs links and return paths. Several, separated by spaces: the first signs, all verify."""

    public_url: str = "http://127.0.0.1:8000"
    """Where readers reach us: the base of every link in a mail. No trailing slash."""

    smtp_url: str = "inbox://"
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
    """DKIM selector; empty signs nothing (the relay may)."""

    dkim_key: SecretStr = SecretStr("")
    """DKIM private key, PEM (RSA 2048 or Ed25519); best from a file: `DIBAO_DKIM_KEY_FILE`."""

    connections: int = Field(default=20, ge=1, le=500)
    """SMTP connections per worker process, and so the most letters one crash leaves uncertain."""

    batch_size: int = Field(default=1000, ge=1, le=10_000)
    """People per batch, the unit a worker leases."""

    chunk_size: int = Field(default=200, ge=1, le=1000)
    """People per commit; smaller means fewer uncertain if a host is lost with its disk."""

    lease: float = Field(default=60, ge=5)
    """Seconds a worker's right to a batch lasts without a sign of life."""

    sweep: float = Field(default=5, gt=0)
    """Seconds between two looks for due work, should every knock be lost."""

    retry_waits: str = "1800 3600 7200 14400"
    """Seconds to wait after each deferral; the last repeats. RFC 5321 4.5.4.1 asks for 30 min."""

    patience: float = Field(default=4 * 86400, gt=0)
    """Seconds after the first try when a deferred letter expires. RFC 5321: 4 to 5 days."""

    smtp_timeout: float = Field(default=300, gt=0)
    """Seconds to wait for any reply but the one to the final dot (RFC 5321 4.5.3.2)."""

    dot_timeout: float = Field(default=600, gt=0)
    """Seconds to wait for the reply to the final dot (RFC 5321 4.5.3.2.6)."""

    tracking: Literal["none", "opens", "clicks", "all"] = "all"
    """The most this installation ever tracks; people and campaigns may ask for less."""

    log_format: Literal["console", "json"] = "console"
    """Console for people, JSON for machines."""

    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """What is worth a line."""

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("has to start with https:// (or http:// to try things out)")
        return value.rstrip("/")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError(f"{value!r} is no time zone; try Europe/Paris") from unknown
        return value

    @field_validator("from_address", "reply_to")
    @classmethod
    def _one_address(cls, value: str) -> str:
        if value and (value.count("@") != 1 or any(c.isspace() or c in "<>,;" for c in value)):
            raise ValueError(f"{value!r} is no e-mail address")
        return value

    @field_validator("publication", "tagline", "from_name", "postal_address")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(ord(c) < 32 or c in "\x7f\x85\u2028\u2029" for c in value):  # header injection
            raise ValueError("has to be one line without control characters")
        return value

    @field_validator("retry_waits")
    @classmethod
    def _seconds(cls, value: str) -> str:
        if not value.split() or not all(part.isdecimal() for part in value.split()):
            raise ValueError("has to be seconds separated by spaces, like 1800 3600")
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
            except (OSError, UnicodeDecodeError) as unreadable:
                faults.append(f"{variable}: cannot read {value}: {unreadable}")
        else:
            given[name] = value
    return given, faults


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"]).upper()
    return f"{PREFIX}{name}: {error['msg'].removeprefix('Value error, ')}"


def _fit_for_its_place(settings: Settings) -> Settings:
    if settings.env == "production":
        if DEFAULT_SECRET in settings.secrets:
            raise Misconfigured("DIBAO_SECRET_KEY: production needs a secret of its own")
        if not settings.public_url.startswith("https://"):
            raise Misconfigured("DIBAO_PUBLIC_URL: one-click unsubscribe needs https (RFC 8058)")
    return settings
