"""A setting is understood or refused by name; whatever is unknown stops the start."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from mailer.kit.errors import Misconfigured
from mailer.kit.settings import DEFAULT_SECRET, Settings, read, shown

PRODUCTION = {
    "DIBAO_ENV": "production",
    "DIBAO_SECRET_KEY": "something-long-and-random even-longer-and-older",
    "DIBAO_PUBLIC_URL": "https://news.example.com",
}


def refusal(environment: Mapping[str, str]) -> str:
    with pytest.raises(Misconfigured) as refused:
        read(environment)
    return str(refused.value)


def test_nothing_set_is_an_installation_to_try_out() -> None:
    found = read({})

    assert found.embedded
    assert found.database == "sqlite:///var/dibao.db"
    assert found.smtp_url == "inbox://"
    assert found.web_host == found.inbox_host == "127.0.0.1"


def test_other_peoples_variables_are_not_ours() -> None:
    assert read({"PATH": "/bin", "DIBAOX": "1", "DIBAO_TEST_DATABASE_URL": "x"}) == read({})


def test_a_misspelt_setting_is_refused_with_the_likely_one() -> None:
    said = refusal({"DIBAO_PUBLIC_ULR": "https://news.example.com"})

    assert said == "DIBAO_PUBLIC_ULR is no setting of Dibao; did you mean DIBAO_PUBLIC_URL?"


def test_every_fault_is_named_at_once() -> None:
    said = refusal(
        {"DIBAO_WEB_PORT": "many", "DIBAO_TIMEZONE": "Mars/Olympus", "DIBAO_NONSENSE": "1"}
    )

    assert len(said.splitlines()) == 3
    for name in ("DIBAO_WEB_PORT", "DIBAO_TIMEZONE", "DIBAO_NONSENSE"):
        assert name in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_PORT", "65536"),
        ("CONNECTIONS", "0"),
        ("CHUNK_SIZE", "-1"),
        ("LEASE", "0"),
        ("PUBLIC_URL", "news.example.com"),
        ("TIMEZONE", "../../etc/passwd"),
        ("FROM_ADDRESS", "Ada <ada@example.com>"),
        ("FROM_ADDRESS", "ada@example.com\r\nBcc: dan@example.com"),
        ("PUBLICATION", "News\nBcc: dan@example.com"),
        ("POSTAL_ADDRESS", "1 Courier Lane\x7f"),
        ("RETRY_WAITS", "soon"),
        ("RETRY_WAITS", ""),
        ("RETRY_WAITS", "99999999999999999999"),
        ("LEASE", "inf"),
        ("SWEEP", "inf"),
        ("PATIENCE", "1e300"),
        ("DOT_TIMEOUT", "inf"),
        ("SECRET_KEY", " "),
        ("SECRET_KEY", "a " * 17),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https://a b"),
        ("PUBLIC_URL", "https://a.example\r\nBcc: dan@example.com"),
        ("PUBLIC_URL", "https://a.example/?q=1"),
        ("PUBLIC_URL", "https://ada:pass@a.example"),
        ("PUBLIC_URL", "https://a.example:99999"),
        ("PUBLIC_URL", "https://[::1"),
        ("TIMEZONE", "a" * 5000),
        ("FROM_ADDRESS", ""),
        ("FROM_ADDRESS", "@"),
        ("FROM_ADDRESS", "ada@"),
        ("FROM_ADDRESS", "ada\x00@example.com"),
        ("FROM_ADDRESS", '"ada"@example.com'),
        ("FROM_ADDRESS", "ada@example..com"),
        ("REPLY_TO", "ädä@example.com"),
        ("BOUNCE_DOMAIN", "b.example>\r\nRCPT TO:<dan@example.com>"),
        ("BOUNCE_DOMAIN", "ada@example.com"),
        ("BOUNCE_DOMAIN", ".."),
        ("PUBLICATION", "News \u202ekoob"),
        ("FROM_NAME", "\udcff"),
        ("TRACKING", "everything"),
        ("LOG_FORMAT", "xml"),
        ("TRUSTED_PROXIES", "proxy.example"),
        ("TRUSTED_PROXIES", "127.0.0.1 0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
        ("SAME_PERSON", "plus dots"),
        ("SIGN_UP_WORK", "25"),
        ("KEEP_EVENTS", "1e9"),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(name: str, value: str) -> None:
    assert refusal({f"DIBAO_{name}": value}).startswith(f"DIBAO_{name}: ")


def test_a_setting_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the vault\n")

    found = read({"DIBAO_SECRET_KEY_FILE": f"{tmp_path}/secret"})

    assert found.secret_key == SecretStr("from the vault")


def test_a_file_that_cannot_be_read_is_loud(tmp_path: Path) -> None:
    said = refusal({"DIBAO_SECRET_KEY_FILE": f"{tmp_path}/nothing"})

    assert said.startswith("DIBAO_SECRET_KEY_FILE: cannot read")


def test_a_setting_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the vault")

    said = refusal({"DIBAO_SECRET_KEY": "plain", "DIBAO_SECRET_KEY_FILE": f"{tmp_path}/secret"})

    assert "not both" in said


def test_production_refuses_the_secret_everybody_knows() -> None:
    assert refusal({**PRODUCTION, "DIBAO_SECRET_KEY": DEFAULT_SECRET}).startswith(
        "DIBAO_SECRET_KEY:"
    )
    without = {name: value for name, value in PRODUCTION.items() if name != "DIBAO_SECRET_KEY"}
    assert refusal(without).startswith("DIBAO_SECRET_KEY:")


def test_production_refuses_links_without_encryption() -> None:
    said = refusal({**PRODUCTION, "DIBAO_PUBLIC_URL": "http://news.example.com"})

    assert said.startswith("DIBAO_PUBLIC_URL:")


def test_production_takes_a_secret_of_its_own() -> None:
    assert read(PRODUCTION).secrets == (
        "something-long-and-random",
        "even-longer-and-older",
    )


def test_the_newest_secret_stands_first() -> None:
    assert read({"DIBAO_SECRET_KEY": "new old"}).secrets == ("new", "old")
    assert read({}).secrets == (DEFAULT_SECRET,)


def test_secrets_do_not_show() -> None:
    found = read({**PRODUCTION, "DIBAO_DKIM_KEY": "the private one"})

    assert "random" not in repr(found)
    assert "the private one" not in f"{found} {found!r} {found.model_dump()}"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("SMTP_URL", "smtps://ada:hunter2@relay.example:465"),
        ("SMTP_URL", "smtps://ada:p@ss:hunter2/@relay.example:465"),
        ("DATABASE_URL", "postgresql://ada:hunter2@db.example/dibao"),
        ("DATABASE_URL", "postgresql://db.example/dibao?user=ada&password=hunter2&x=1"),
        ("BROKER_URL", "redis://:hunter2@broker.example/0"),
    ],
)
def test_a_password_in_a_url_does_not_show(name: str, url: str) -> None:
    found = read({f"DIBAO_{name}": url})

    said = shown(found)[f"DIBAO_{name}"]
    assert "hunter2" not in said + repr(found)
    assert ".example" in said
    assert "ss:" not in said


def test_what_holds_no_password_shows_as_it_is() -> None:
    found = read({"DIBAO_SMTP_URL": "smtp://relay.example:25"})

    assert shown(found)["DIBAO_SMTP_URL"] == "smtp://relay.example:25"
    assert shown(found)["DIBAO_PUBLIC_URL"] == "http://127.0.0.1:8000"
    assert set(shown(read(PRODUCTION))["DIBAO_SECRET_KEY"]) == {"*"}


@pytest.mark.parametrize("secret", ["short", "one secret in four words", "long-enough-to-hold x"])
def test_production_refuses_a_secret_that_can_be_guessed(secret: str) -> None:
    assert "16 characters" in refusal({**PRODUCTION, "DIBAO_SECRET_KEY": secret})


@pytest.mark.parametrize("url", ["https://xn--bcher-kva.example/news", "http://[::1]:8000"])
def test_a_public_address_may_have_a_path_or_a_number(url: str) -> None:
    assert read({"DIBAO_PUBLIC_URL": url}).public_url == url


def test_a_sender_may_be_on_a_domain_beyond_ascii_or_on_this_machine() -> None:
    for address in ("news@bücher.example", "root@localhost", "a+b.c@x-y.example"):
        assert read({"DIBAO_FROM_ADDRESS": address}).from_address == address


def test_settings_stay_as_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read({}).web_port = 1  # type: ignore[misc]


def test_a_trailing_slash_does_no_harm() -> None:
    assert read({"DIBAO_PUBLIC_URL": "https://a.example/"}).public_url == "https://a.example"


def test_the_sender_domain_is_that_of_the_address_in_from() -> None:
    assert read({"DIBAO_FROM_ADDRESS": "news@dibao.example"}).sender_domain == "dibao.example"


def test_every_default_passes_its_own_rules() -> None:
    assert Settings.model_validate(
        {name: field.default for name, field in Settings.model_fields.items()}
    ) == read({})
