"""Templates into pages: escaped by default, numbers and moments as people write them."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from zoneinfo import ZoneInfo

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mailer.kit.paths import TEMPLATES
from mailer.web.assets import Assets

if TYPE_CHECKING:
    from mailer.app import App


class Pages:
    """The site's pages."""

    def __init__(self, assets: Assets, *, publication: str, timezone: str = "UTC") -> None:
        zone = ZoneInfo(timezone)
        self.environment = Environment(
            loader=FileSystemLoader(TEMPLATES / "web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(asset=assets.address, publication=publication)
        self.environment.filters.update(
            number=number,
            percent=percent,
            size=size,
            duration=duration,
            moment=lambda at: moment(at, zone),
        )

    @classmethod
    def of(cls, app: "App") -> Self:
        """The pages of one installation."""
        return cls(Assets(), publication=app.publication.name, timezone=app.settings.timezone)

    def page(
        self, template: str, *, status: int = 200, cache: str = "no-store", **values: Any
    ) -> HTMLResponse:
        """A whole page; caches keep nothing unless told otherwise."""
        html = self.fragment(template, **values)
        return HTMLResponse(html, status_code=status, headers={"Cache-Control": cache})

    def fragment(self, template: str, **values: Any) -> str:
        """A page or a part of one, as text."""
        return self.environment.get_template(template).render(values)


def number(value: float) -> str:
    """A count with its thousands apart: 12,345."""
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share with one decimal, or a dash where there is nothing to share."""
    if not whole:
        return "–"  # noqa: RUF001  # the usual sign for an empty cell
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"  # never round the last open letter away
    return f"{share:.1f} %"


def size(octets: int) -> str:
    """Bytes as kilobytes of 1,024, the way mail programs count."""
    if octets < 1024:
        return f"{octets} B"
    kilobytes = octets / 1024
    return f"{kilobytes:.1f} KB" if kilobytes < 1024 else f"{kilobytes / 1024:.1f} MB"


def duration(seconds: float | None) -> str:
    """A stretch of time in its two largest units: 1 h 5 min."""
    if seconds is None:
        return "–"  # noqa: RUF001
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {whole % 60} s"
    return f"{whole} s"


def moment(at: datetime | None, zone: ZoneInfo) -> str:
    """A moment in the publication's time zone, to the second."""
    if at is None:
        return "–"  # noqa: RUF001
    local = at.astimezone(zone)
    return f"{local:%d %b %Y, %H:%M:%S} {local.tzname() or ''}".strip()
