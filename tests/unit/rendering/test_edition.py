"""An edition is one frozen value: what goes into the store comes out, or nothing does."""

import json
from dataclasses import replace

import pytest

from mailer.rendering.edition import WARN_BYTES, Edition, RenderingRefused, loads
from mailer.rendering.render import render
from tests.golden.rendering import samples


def made() -> Edition:
    return render(
        samples.weekly(),
        samples.PUBLICATION,
        followed=("ai",),
        tracking=3,
        public_url="https://n.example.org",
    )


def test_an_artifact_gives_the_edition_back() -> None:
    edition = made()

    assert loads(edition.dumps()) == edition


def test_a_changed_artifact_is_a_bug() -> None:
    data = json.loads(made().dumps())
    data["subject"] = "Something else"

    with pytest.raises(ValueError, match="does not match its hash"):
        loads(json.dumps(data))


def test_the_same_issue_renders_to_the_same_hash() -> None:
    assert made().sha256 == made().sha256


def test_a_heavy_edition_says_so_and_a_light_one_is_silent() -> None:
    light = made()
    heavy = replace(light, html_bytes=WARN_BYTES + 1)

    assert light.findings == ()
    assert [finding.code for finding in heavy.findings] == ["html-large"]
    assert "shorten" in heavy.findings[0].message


def test_a_refusal_names_its_place() -> None:
    refused = RenderingRefused("no host", "item tea")

    assert str(refused) == "item tea: no host"
    assert refused.place == "item tea"
    assert refused.code == "rendering-refused"
    assert str(RenderingRefused()) == "The issue cannot become a mail as it is."
