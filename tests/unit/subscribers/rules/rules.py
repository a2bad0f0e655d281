"""Strategies that draw rules over the population: every field, every operator, any nesting."""

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from subscribers.rules import tree
from subscribers.rules.schema import BUILT_IN, OPERATORS, Kind
from subscribers.rules.tree import Combinator, DaysAgo, Leaf, Operator, Rule, Unit, Value, Window
from tests.unit.subscribers.rules import population
from tests.unit.subscribers.rules.population import TODAY

WORDS = {
    "address": ("ada", "BEN_", "%", "@", "gmail.com", "Ada1@gmail.com"),
    "domain": (*population.DOMAINS, "GMAIL.com", "mail"),
    "name": ("Ada", "a", "ada Löwe", "lÖwe", "李"),
    "language": ("en", "fr", "zh", "zh-Hans"),
    "timezone": ("Europe/", "Asia/Shanghai", "_"),
    "source": ("form", "Fair", "import", "7"),
    "town": (*population.TOWNS, "PARIS", "_", "%", "éMILE", "/", "\\"),
    "interests": (*population.TAGS, "nothing"),
}
CUSTOM = {
    "country": Kind.CHOICE,
    "town": Kind.TEXT,
    "age": Kind.NUMBER,
    "renewal": Kind.DATE,
    "interests": Kind.TAGS,
}
KINDS = {name: each.kind for name, each in BUILT_IN.items()} | CUSTOM

days = st.sampled_from((1, 2, 7, 29, 30, 31, 400))
windows_of_days = days.map(lambda number: Window(number, Unit.DAYS))
windows_of_issues = st.sampled_from((1, 2, 4, 9, 13, 50)).map(lambda n: Window(n, Unit.ISSUES))
windows = windows_of_days | windows_of_issues
dates = st.sampled_from((-400, -30, -29, -1, 0, 1, 7)).map(lambda n: TODAY + timedelta(n))
moments = dates | st.sampled_from((0, 1, 30, 60)).map(DaysAgo)
numbers = st.sampled_from((0.0, 17.0, 18.0, 18.25, 18.5, -3.0, 1e12, 1e15))


def words(name: str) -> st.SearchStrategy[str]:
    choices = BUILT_IN[name].choices if name in BUILT_IN else ()
    return st.sampled_from(choices or WORDS.get(name) or population.COUNTRIES)


def values(name: str, operator: Operator) -> st.SearchStrategy[Value]:
    if operator in {Operator.KNOWN, Operator.UNKNOWN}:
        return st.none()
    if operator in {Operator.ONE_OF, Operator.HAS_ANY}:
        return st.lists(words(name), min_size=1, max_size=3, unique=True).map(tuple)
    if operator in {Operator.IN_LAST, Operator.IN_NEXT}:
        return windows_of_days
    if operator in {Operator.BEFORE, Operator.AFTER, Operator.ON}:
        return moments
    return numbers if KINDS[name] is Kind.NUMBER else words(name)


@st.composite
def conditions(draw: Any) -> Leaf:
    name = draw(st.sampled_from(sorted(KINDS)))
    operator = draw(st.sampled_from(OPERATORS[KINDS[name]]))
    return Leaf(name, operator, draw(values(name, operator)))


acts = st.sampled_from(("opened", "clicked", *(f"clicked:{key}" for key in population.FOLLOWED)))
deeds = st.builds(
    Leaf, acts, st.sampled_from((Operator.IN_LAST, Operator.NEVER_IN_LAST)), windows
) | acts.map(lambda act: Leaf(act, Operator.EVER))
memberships = st.sampled_from(population.FOLLOWED).map(
    lambda key: Leaf("follows", Operator.IS, key)
) | st.sampled_from(sorted(population.RULES)).map(lambda key: Leaf("in", Operator.IS, key))
rule_of_nobody = Leaf("created", Operator.AFTER, date(2100, 1, 1))
leaves = conditions() | deeds | memberships


def _grouped(inner: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    return st.builds(
        tree.group,
        st.sampled_from(Combinator),
        st.lists(inner, min_size=1, max_size=4),
        negated=st.booleans(),
    )


rules: st.SearchStrategy[Rule] = st.recursive(leaves, _grouped, max_leaves=12).filter(
    lambda rule: tree.depth(rule) <= tree.MAX_DEPTH
)
