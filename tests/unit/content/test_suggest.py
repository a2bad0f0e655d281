"""A segment is proposed where the words of a story say so, and the words are shown."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from mailer.content.issue import Item, Kind
from mailer.content.paste import paste
from mailer.content.suggest import THRESHOLD, suggest

LABELS = Path(__file__).parents[2] / "golden/content/segments.json"

FLOORS = {"e-commerce": (0.85, 0.9), "ai": (0.85, 0.95), "luxury": (0.95, 0.7)}
"""Precision and recall over the 70 items of the seeds, a little below what is reached."""


EC = ["e-commerce"]


def story(title: str, body: str = "") -> Item:
    return Item("x", title, body)


def segments(item: Item) -> list[str]:
    return [suggestion.segment for suggestion in suggest(item)]


@pytest.mark.parametrize(
    ("title", "body", "expected"),
    [
        ("A chatbot for the night shift", "It answers at once.", ["ai"]),
        ("Night shift", "Machine learning sorts letters; the neural network is small.", ["ai"]),
        ("Online shopping slows down", "", ["e-commerce"]),
        ("A haute couture house opens", "", ["luxury"]),
        ("Luxury online", "A couture house bets on e-commerce. E-commerce grows.", ["luxury", *EC]),
        ("Rain on Monday", "It said again that the rain would stay until the evening.", []),
        ("A bakery opens", "Its owner used a chatbot once.", []),  # one mention in passing
        ("A bridge is closed", "Amazon, Alibaba, Temu and Shein have offices nearby.", []),
        ("Said the maid", "They paid and said it again; an air of aid.", []),  # all hold "ai"
        ("Main street retails nothing", "Sellersville is a town.", []),  # words end where they end
        ("人工智能进入小店", "", ["ai"]),
        ("A list of addresses", "See https://luxury.example/e-commerce/chatbot and so on.", []),
    ],
)
def test_segments_follow_the_words(title: str, body: str, expected: list[str]) -> None:
    assert segments(story(title, body)) == expected


def test_a_suggestion_shows_its_words_the_loudest_first() -> None:
    (found,) = suggest(story("Chatbots for all", "A chatbot answers with a robot's patience."))

    assert found.segment == "ai"
    assert found.words == ("chatbot", "robot")
    assert found.score >= THRESHOLD


def test_a_longer_word_hides_the_shorter_ones_in_it() -> None:
    (found,) = suggest(story("A large language model"))

    assert found.words == ("large language model",)


def test_an_article_is_judged_by_the_titles_of_its_parts_too() -> None:
    parts = (Item("a", "Machine learning"), Item("b", "The neural network"))

    assert segments(Item("x", "Five ideas", kind=Kind.DEEP_DIVE, items=parts)) == ["ai"]


def test_the_seeds_are_judged_nearly_as_a_person_does(shared: Path) -> None:
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    right: Counter[str] = Counter()
    proposed: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for file in sorted((shared / "seeds").glob("*.txt")):
        pasted = paste(file.read_text(encoding="utf-8"))
        by_hand = labels[file.name[:3]]
        assert len(by_hand) == len(pasted.items)
        for item, expected in zip(pasted.items, by_hand, strict=True):
            found = set(segments(item))
            proposed.update(found)
            wanted.update(expected)
            right.update(found & set(expected))

    for segment, (precision, recall) in FLOORS.items():
        reached = right[segment] / proposed[segment], right[segment] / wanted[segment]
        said = f"{segment}: precision {reached[0]:.2f}, recall {reached[1]:.2f}"
        sys.stdout.write(f"{said} of {wanted[segment]}\n")
        assert reached[0] >= precision, said
        assert reached[1] >= recall, said
