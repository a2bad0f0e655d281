"""Only MJML that our engine renders rightly gets to it; the rest is refused with its line."""

import time
from pathlib import Path

import mjml
import pytest

from mailer.rendering.mjml import MjmlInvalid, compile_mjml
from mailer.rendering.mjml_rules import problems

SLOT = "z0123456789abx0z"


def document(inside: str = "", *, head: str = "", column: str | None = None) -> str:
    body = inside if column is None else f"<mj-section><mj-column>{column}</mj-column></mj-section>"
    return (
        '<mjml lang="en" dir="ltr">\n'
        f"<mj-head>\n{head}\n</mj-head>\n"
        f"<mj-body>\n{body}\n</mj-body>\n"
        "</mjml>"
    )


def test_the_engine_is_mjml_python_and_not_its_namesake() -> None:
    """Two packages install the same module; the other one renders four templates in ten wrongly."""
    assert mjml.__file__ is not None
    package = Path(mjml.__file__).parent
    assert list(package.parent.glob("mjml_python-1.4.2*")), "the wheel beside the module"
    assert hasattr(mjml, "mjml2html")


def test_a_fit_document_compiles_and_fetches_no_fonts() -> None:
    html = compile_mjml(document(column=f"<mj-text>{SLOT}</mj-text>"), name="layout.mjml")

    assert SLOT in html
    assert "fonts.g" not in html


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ('<mjml lang="en" dir="ltr">\n<mj-body>\n<mj-section>\n</mj-body>', 4, "mismatched tag"),
        (document("<mj-section a=1/>"), 6, "close every tag"),
        (document('<mj-raw a="1" a="2"/>'), 6, "duplicate attribute"),
        (document(column="<mj-text>a < b</mj-text>"), 6, "themes are XML"),
        (document(column="<mj-text>&nosuch;</mj-text>"), 6, "undefined entity"),
        ("", 1, "no element found"),
    ],
)
def test_acceptance_7_malformed_mjml_is_refused_with_file_line_and_column(
    source: str, line: int, words: str
) -> None:
    with pytest.raises(MjmlInvalid, match=rf"layout\.mjml:{line}:\d+: .*{words}") as refused:
        compile_mjml(source, name="layout.mjml")

    assert refused.value.line == line
    assert refused.value.column >= 1


def test_acceptance_7_a_misplaced_tag_is_answered_with_those_allowed() -> None:
    with pytest.raises(MjmlInvalid, match="allowed: mj-column, mj-raw"):
        compile_mjml(document("<mj-section><mj-text/></mj-section>"), name="layout.mjml")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (document('<mj-include path="/etc/passwd"/>'), "Jinja's include"),
        (document(head='<mj-style inline="inline">a{}</mj-style>'), "no such attribute"),
        (document(head="<mj-html-attributes/>"), "attributes where they belong"),
        (document(head='<mj-font name="x" href="y"/>'), "fonts are never fetched"),
        (
            document(
                head='<mj-attributes><mj-class name="a"><mj-text/></mj-class></mj-attributes>'
            ),
            "text only",
        ),
        (document(column="<mj-carousel/>"), "use mj-image"),
        (document(column="<mj-navbar/>"), "use links"),
        (document(column="<mj-accordion/>"), "use mj-text"),
        (document(column="<mj-table/>"), "presentation"),
        (document('<mj-hero mode="fluid-height"/>'), "fixed-height"),
        (document('<mj-wrapper gap="1px"/>'), "no such attribute"),
        (document('<mj-section gutter="1px"/>'), "no such attribute"),
        (document('<mj-section><mj-column inner-border="1px"/></mj-section>'), "no such attribute"),
        (document('<mj-section padding="0 25px"/>'), "write 0px"),
        (document('<mj-section background-color="#fff"/>'), "six hex digits"),
        (document('<mj-section background-color="red;background:url(//x)"/>'), "six hex digits"),
        (document(column='<mj-text css-class="a\nb"/>'), "line break"),
        (document(column='<mj-text css-class="a\\b"/>'), "backslash"),
        (document(column='<mj-text css-class="é"/>'), "only ASCII"),
        (document(column='<mj-text font-family="&quot;Segoe UI&quot;"/>'), "single quotes"),
        (document(column='<mj-text><p style="color:#fff">x</p></mj-text>'), "six hex digits"),
        (document(column='<mj-text><p style="a:url(x)">x</p></mj-text>'), "nothing is fetched"),
        (document(column='<mj-text><p onclick="x">x</p></mj-text>'), "not in a mail"),
        (document(column='<mj-text><a href="https://evil.example">x</a></mj-text>'), "is a slot"),
        (document(column="<mj-text><script>x</script></mj-text>"), "<script> may not stand"),
        (document(column="<mj-text><table><tr><td/></tr></table></mj-text>"), "role="),
        (document(column='<mj-image src="" width="10px"/>'), "alt is missing"),
        (document(column='<mj-image src="" alt=""/>'), "width is missing"),
        (document('<mj-section><mj-column width="33.3%"/></mj-section>'), "whole number"),
        (document(column="<mj-foo/>"), "<mj-foo> may not stand"),
        (document("<mj-text>x</mj-text>"), "may not stand inside <mj-body>"),
        (document(column="<p>stray</p>"), "<p> may not stand"),
        (document(column='<mj-text colour="#000000">x</mj-text>'), "no such attribute"),
        (document(column='<mj-text color="notacolor">x</mj-text>'), "six hex digits"),
        (document(column="<mj-text><![CDATA[x]]></mj-text>"), "no CDATA"),
        (document(head="<mj-style>@import url(x);</mj-style>"), "nothing is fetched"),
    ],
)
def test_acceptance_8_each_forbidden_thing_is_one_problem_with_its_line(
    source: str, words: str
) -> None:
    found = problems(source)

    assert len(found) == 1, found
    assert words in found[0].message
    assert found[0].line >= 3


@pytest.mark.parametrize("tags", ["div", "b"])
def test_acceptance_6_deep_nesting_is_refused_before_it_can_kill_the_process(tags: str) -> None:
    deep = f"<mj-text>{f'<{tags}>' * 20_000}{f'</{tags}>' * 20_000}</mj-text>"

    with pytest.raises(MjmlInvalid, match="64 are the most"):
        compile_mjml(document(column=deep), name="layout.mjml")


def test_acceptance_6_three_thousand_wrappers_are_refused() -> None:
    deep = "<mj-wrapper>" * 3000 + "</mj-wrapper>" * 3000

    with pytest.raises(MjmlInvalid, match="may not stand inside <mj-wrapper>"):
        compile_mjml(document(deep), name="layout.mjml")


def test_a_source_past_the_limit_is_not_even_read() -> None:
    start = time.process_time()

    with pytest.raises(MjmlInvalid, match="512000 are the most"):
        compile_mjml("<" * 600_000, name="layout.mjml")
    assert time.process_time() - start < 1


def test_what_only_the_engine_minds_is_one_of_our_errors_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise ValueError("unexpected token at position 49:57")

    monkeypatch.setattr(mjml, "mjml2html", refuse)
    with pytest.raises(MjmlInvalid, match="the engine says: unexpected token"):
        compile_mjml(document(), name="layout.mjml")
