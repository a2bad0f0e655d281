"""A theme is checked by type, runs in a sandbox, and sees its own folder only."""

from contextlib import suppress

import pytest

from mailer.rendering import theme
from mailer.rendering.edition import RenderingRefused

SETTINGS = "[colours]\nink='#000000'\n[words.en]\nview='View'\n"


def made(layout: str = "", settings: str = SETTINGS, text: str = "") -> theme.Theme:
    files = {"theme.toml": settings, "layout.mjml": layout, "text.txt": text, "part.mjml": "part"}
    return theme.made("trial", files)


@pytest.mark.parametrize(
    "setting",
    [
        "[colours]\nink='red;background:url(//x)'",
        "[colours]\nink='#fff'",
        "[sizes]\nside='44px'",
        "[sizes]\nside=true",
        "[sizes]\nside=99999",
        "[fonts]\nbody='x;} body{color:red'",
        "[fonts]\nbody='\"Segoe UI\"'",
        "[switches]\ncontents='yes'",
        "[unheard]\nof=1",
        "[prose]\np='onclick=\"x\"'",
        "[prose]\np='style=\"background:url(x)\"'",
    ],
)
def test_acceptance_10_a_setting_of_another_kind_is_refused(setting: str) -> None:
    with pytest.raises(RenderingRefused, match=r"cannot be"):
        made(settings=f"{setting}\n[words.en]\nview='View'")


@pytest.mark.parametrize("settings", ["[words.zh]\nview='x'", "not toml", "a = [[["])
def test_an_unreadable_theme_is_refused(settings: str) -> None:
    with pytest.raises(RenderingRefused, match="theme trial/theme"):
        made(settings=settings)


@pytest.mark.parametrize(
    "payload",
    [
        "{{ x.__class__ }}",
        "{{ x.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ joiner.__init__.__globals__.os }}",
        "{{ namespace.__init__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range.__class__ }}",
        "{{ x|attr('__class__') }}",
        "{{ x['__class__'] }}",
        "{{ items.append(1) }}",
        "{{ items.clear() }}",
        "{{ data.update(a=1) }}",
        "{{ data.pop('a') }}",
        "{{ missing }}",
        "{{ x.nothing }}",
        "{{ '{0.__class__.__init__}'.format(x) }}",
        "{{ '{0.__class__}'.format_map(data) }}",
        "{{ get_flashed_messages }}",
        "{{ request.application }}",
        "{{ url_for.__globals__ }}",
        "{{ config }}",
        "{% include '/etc/passwd' %}",
        "{% include '../digest/layout.mjml' %}",
        "{% import 'os' as os %}",
        "{{ x.__reduce__() }}",
    ],
)
def test_acceptance_11_a_theme_reaches_nothing_but_its_data(payload: str) -> None:
    data = {"x": "word", "items": [1], "data": {"a": "b"}}
    with suppress(RenderingRefused):
        assert made(payload).mjml(data) == ""
    assert data == {"x": "word", "items": [1], "data": {"a": "b"}}


def test_objects_become_plain_data_or_are_refused() -> None:
    with pytest.raises(TypeError):
        made("{{ x }}").mjml({"x": object()})


def test_a_syntax_error_has_its_line() -> None:
    with pytest.raises(RenderingRefused, match=r"theme trial/layout\.mjml:2"):
        made("\n{% if %}").mjml({})


def test_markup_is_escaped_and_plain_text_is_not() -> None:
    both = made("{{ x }}", text="{{ x }}")

    assert both.mjml({"x": "<b>"}) == "&lt;b&gt;"
    assert both.text({"x": "<b>"}) == "<b>\n"


def test_parts_of_the_same_folder_can_be_included() -> None:
    assert made("{% include 'part.mjml' %}").mjml({}) == "part"


@pytest.mark.parametrize("name", ["../email/digest", "", "no-such-theme", "Digest", "."])
def test_a_theme_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(RenderingRefused, match="there is no theme"):
        theme.load(name)


def test_words_come_in_the_issues_language_or_in_english() -> None:
    digest = theme.load("digest")

    assert digest.wording("zh-Hans")["unsubscribe"] == "退订"
    assert digest.wording("fi")["unsubscribe"] == "Unsubscribe"
    assert set(digest.words["zh"]) == set(digest.words["en"])


@pytest.mark.parametrize("scheme", ["colours", "dark"])
def test_every_text_colour_can_be_read_on_every_ground(scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    colours = theme.load("digest").settings[scheme]

    for text in ("ink", "muted", "accent"):
        for ground in ("card", "panel", "ground"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_the_button_can_be_read() -> None:
    colours = theme.load("digest").settings["colours"]

    assert _contrast(colours["on_accent"], colours["accent"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
