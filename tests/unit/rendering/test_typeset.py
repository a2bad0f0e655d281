"""East Asian words in another language's text carry their language."""

import pytest

from mailer.rendering import typeset


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("小红书 opens", '<span lang="zh">小红书</span> opens'),
        ("the app 即刻、微信 and", 'the app <span lang="zh">即刻、微信</span> and'),
        ("ひらがな here", '<span lang="ja">ひらがな</span> here'),
        ("한국 here", '<span lang="ko">한국</span> here'),
        ("a < b & c", "a &lt; b &amp; c"),
        ("{{ 7*7 }} {% x %} [[y]] \\u{41}", "&#123;{ 7*7 }} &#123;% x %} &#91;[y]] \\u&#123;41}"),
    ],
)
def test_text_is_escaped_and_runs_are_marked(source: str, html: str) -> None:
    assert typeset.text(source, "en") == html


def test_a_chinese_issue_needs_no_spans() -> None:
    assert typeset.text("小红书", "zh-Hans") == "小红书"


def test_the_direction_follows_the_language() -> None:
    assert typeset.direction("ar-EG") == "rtl"
    assert typeset.direction("zh-Hans") == "ltr"
