"""A theme: a folder under templates/email with `layout.mjml`, `text.txt` and `theme.toml`.

Developers write themes. Even so their Jinja runs in a sandbox, sees plain data only, and can
include nothing but the files of its own folder.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailer.kit.paths import TEMPLATES
from mailer.rendering import plaintext
from mailer.rendering.edition import RenderingRefused

_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_FONT = re.compile(r"[A-Za-z0-9 ,'-]+")
_STYLE = re.compile(r"""(?:class="[a-z0-9 -]*")?\s?(?:style="[a-z0-9 #.,;:%'-]*")?""")


@dataclass(frozen=True, slots=True)
class Theme:
    """One theme, read and checked."""

    name: str
    settings: Mapping[str, Any]  # colours, sizes, fonts, switches: checked by type
    words: Mapping[str, Mapping[str, Any]]  # language -> fixed words
    prose: Mapping[str, str]  # tag of a body -> the attributes it gets
    _markup: ImmutableSandboxedEnvironment
    _text: ImmutableSandboxedEnvironment

    def wording(self, language: str) -> Mapping[str, Any]:
        """The fixed words in a language (BCP 47), in English where there are none."""
        return self.words.get(language) or self.words.get(language[:2]) or self.words["en"]

    def mjml(self, data: Mapping[str, Any]) -> str:
        """The MJML source for an outline of slots. Raises RenderingRefused for a faulty theme."""
        return self._rendered(self._markup, "layout.mjml", data)

    def text(self, data: Mapping[str, Any]) -> str:
        """The plain-text part for an outline made of words. Raises RenderingRefused likewise."""
        return plaintext.tidied(self._rendered(self._text, "text.txt", data))

    def _rendered(
        self, environment: ImmutableSandboxedEnvironment, file: str, data: Mapping[str, Any]
    ) -> str:
        plain = json.loads(json.dumps(dict(data)))  # whatever it was, nothing has methods now
        try:
            return environment.get_template(file).render(plain)
        except TemplateSyntaxError as error:
            place = f"theme {self.name}/{error.name or file}:{error.lineno}"
            raise RenderingRefused(error.message or "syntax", place) from error
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise RenderingRefused(str(error), f"theme {self.name}/{file}") from error


@lru_cache(maxsize=16)
def load(name: str) -> Theme:
    """The theme of this name. Raises RenderingRefused where there is none or it is unfit."""
    folder = TEMPLATES / "email" / name
    if not _NAME.fullmatch(name) or not folder.is_dir():
        raise RenderingRefused(f"there is no theme {name!r}")
    files = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".mjml", ".txt", ".css", ".toml"}
    }
    return made(name, files)


def made(name: str, files: Mapping[str, str]) -> Theme:
    """A theme from its files' texts. Raises RenderingRefused for a setting of the wrong type."""
    place = f"theme {name}/theme.toml"
    try:
        raw = tomllib.loads(files["theme.toml"])
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise RenderingRefused(f"not readable: {error}", place) from error
    words, prose = raw.pop("words", {}), raw.pop("prose", {})
    if "en" not in words:
        raise RenderingRefused("no words.en", place)
    for group, settings in raw.items():
        for key, setting in settings.items():
            if not _fits(group, setting):
                raise RenderingRefused(f"{group}.{key} cannot be {setting!r}", place)
    for tag, attributes in prose.items():
        if not _STYLE.fullmatch(attributes):
            raise RenderingRefused(f"prose.{tag} cannot be {attributes!r}", place)
    return Theme(name, raw, words, prose, _environment(files), _plain_environment(files))


def _fits(group: str, setting: object) -> bool:
    """A setting of the kind its group holds; nothing that could end a style or start another."""
    match group, setting:
        case "switches", bool():
            return True
        case "sizes", int():
            return not isinstance(setting, bool) and 0 <= setting <= 2000
        case "colours" | "dark", str():
            return bool(_COLOUR.fullmatch(setting))
        case "fonts", str():
            return bool(_FONT.fullmatch(setting))
    return False


def _environment(files: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=DictLoader(dict(files)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plain_environment(files: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=DictLoader(dict(files)),
        autoescape=False,  # plain text: an escape would be shown as it is
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        wrap=plaintext.wrap, rule=plaintext.rule, indented=plaintext.indented
    )
    return environment
