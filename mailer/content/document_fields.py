"""Values to YAML and back, driven by the fields of the dataclasses, so that no field is forgotten.

Only text is taken from YAML, its own types never: a title of `Yes` stays "Yes". Whatever does not
fit is reported with its line, all of it at once.
"""

import datetime
import difflib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mailer.content.document_outline import Fault
from mailer.content.document_rules import broken
from mailer.content.issue import Figure, Image, Rating, Source

_ALONE: dict[type, str] = {Source: "url", Image: "url", Rating: "question", Figure: "amount"}
"""Values that may be written as this field alone: `sources: [https://example.com]`."""


def plain(value: Any) -> Any:
    """The value as YAML's own types; fields that hold their default are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        given = given_fields(value)
        alone = _ALONE.get(type(value), "")
        return given[alone] if set(given) == {alone} and given[alone] else given
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, tuple):
        return _plain_tuple(value)
    return value


def given_fields(value: Any, *, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields that say something, by name and in order, as YAML's own types."""
    return {
        field.name: plain(getattr(value, field.name))
        for field in fields(value)
        if field.name not in without
        and (field.default is MISSING or getattr(value, field.name) != field.default)
    }


def dump(values: Mapping[str, Any], *, blocks: bool) -> str:
    """YAML lines. With `blocks`, texts of several lines are set as such; else in one line."""
    if not values:
        return ""
    return yaml.dump(
        dict(values),
        Dumper=_BlockDumper if blocks else _LineDumper,
        allow_unicode=True,
        sort_keys=False,
        width=2**31,  # never folded: a line of the file is a line of the text
    )


def load(text: str, first: int, faults: list[Fault]) -> MappingNode | None:
    """The mapping that YAML lines hold; `first` is the number of the first. None with a fault."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as bad:
        line = bad.problem_mark.line if bad.problem_mark else 0
        faults.append(Fault(first + line, _yaml_problem(bad)))
        return None
    except yaml.YAMLError as bad:
        faults.append(Fault(first, f"a character that YAML does not take: {bad}".split("\n")[0]))
        return None
    except RecursionError:
        faults.append(Fault(first, "brackets nested too deep to be meant"))
        return None
    if node is None:
        return MappingNode("", [])
    if not isinstance(node, MappingNode):
        faults.append(Fault(first, "lines like `title: My issue` belong here"))
        return None
    return node


def read_fields(
    cls: type, node: MappingNode, first: int, faults: list[Fault], *, without: Sequence[str] = ()
) -> dict[str, Any]:
    """The values of a mapping by field of `cls`. Unknown and doubled keys are faults."""
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = first + key_node.start_mark.line
        key = key_node.value if isinstance(key_node, ScalarNode) else ""
        known = [name for name in hints if name not in without]
        if key not in known:
            faults.append(Fault(line, _unknown(key, known)))
        elif key in values:
            faults.append(Fault(line, f"`{key}` stands here twice; keep one"))
        else:
            values[key] = _Reading(first, faults).value(value_node, hints[key], key)
            if values[key] is None and _default(cls, key) is not None:
                values[key] = _default(cls, key)
    return {key: value for key, value in values.items() if value is not MISSING}


class _Reading:
    """Nodes to values, for one block of YAML."""

    def __init__(self, first: int, faults: list[Fault]) -> None:
        self.first = first
        self.faults = faults

    def value(self, node: Node, kind: Any, key: str) -> Any:
        """The value of a node, or MISSING after a fault; None for nothing there."""
        if isinstance(node, ScalarNode) and node.style is None and node.value in {"", "~", "null"}:
            return () if get_origin(kind) is tuple else None
        if get_origin(kind) in {Union, types.UnionType}:
            kind = next(arg for arg in get_args(kind) if arg is not type(None))
        kind = getattr(kind, "__supertype__", kind)
        if get_origin(kind) is tuple:
            return self._tuple(node, get_args(kind)[0], key)
        if is_dataclass(kind) and isinstance(kind, type):
            return self._dataclass(node, kind, key)
        if not isinstance(node, ScalarNode):
            return self._fault(node, f"`{key}` takes one value, not a list of them")
        return self._scalar(node, kind, key)

    def _fault(self, node: Node, message: str) -> Any:
        self.faults.append(Fault(self.first + node.start_mark.line, message))
        return MISSING

    def _scalar(self, node: ScalarNode, kind: Any, key: str) -> Any:
        parse, wanted = _parser(kind)
        try:
            value = parse(node.value)
        except (ValueError, KeyError):
            return self._fault(node, f"`{key}` takes {wanted}, not {_short(node.value)}")
        wrong = broken(key, value)
        return self._fault(node, wrong) if wrong else value

    def _tuple(self, node: Node, kind: Any, key: str) -> Any:
        if get_origin(kind) is tuple:
            return self._pairs(node, key)
        if isinstance(node, SequenceNode):
            values = [self.value(part, kind, key) for part in node.value]
        else:  # one thing needs no brackets
            values = [self.value(node, kind, key)]
        if kind is str:
            values = ["" if value is None else value for value in values]
        return tuple(value for value in values if value is not MISSING and value is not None)

    def _pairs(self, node: Node, key: str) -> Any:
        if isinstance(node, MappingNode):
            pairs = node.value
        elif isinstance(node, SequenceNode) and all(
            isinstance(part, SequenceNode) and len(part.value) == 2  # a pair
            for part in node.value
        ):
            pairs = [tuple(part.value) for part in node.value]
        else:
            return self._fault(node, f"`{key}` takes lines like `name: value`")
        if not all(isinstance(part, ScalarNode) for pair in pairs for part in pair):
            return self._fault(node, f"`{key}` takes lines like `name: value`")
        return tuple((name.value, value.value) for name, value in pairs)

    def _dataclass(self, node: Node, cls: type, key: str) -> Any:
        if isinstance(node, ScalarNode) and (alone := _ALONE.get(cls)):
            value = self._scalar(node, str, alone)
            return value if value is MISSING else cls(**{alone: value})
        if not isinstance(node, MappingNode):
            names = ", ".join(_hints(cls))
            return self._fault(node, f"`{key}` takes lines like `name: value`, of: {names}")
        before = len(self.faults)
        values = read_fields(cls, node, self.first, self.faults)
        missing = [f.name for f in fields(cls) if _required(f) and f.name not in values]
        if missing and len(self.faults) == before:
            return self._fault(node, f"`{key}` needs {' and '.join(missing)}")
        return MISSING if missing else cls(**values)


def _plain_tuple(value: tuple[Any, ...]) -> Any:
    if value and isinstance(value[0], tuple):
        names = [name for name, _ in value]
        return dict(value) if len(set(names)) == len(names) else [_Flow(pair) for pair in value]
    listed = [plain(part) for part in value]
    short = all(isinstance(part, str) for part in listed) and sum(map(len, listed)) < 70
    return _Flow(listed) if short and not any("://" in part for part in listed) else listed


def _parser(kind: Any) -> tuple[Callable[[str], Any], str]:
    if kind is bool:
        return {"true": True, "yes": True, "false": False, "no": False}.__getitem__, "true or false"
    if kind is int:
        return _natural, "a number without a sign"
    if kind is datetime.date:
        return datetime.date.fromisoformat, "a day like 2026-03-01"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind, "one of: " + ", ".join(kind)
    return str, "a text"


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # a column's int
        raise ValueError(text)
    return int(text)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")  # one line of a message


def _unknown(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1)
    hint = f"did you mean `{close[0]}`?" if close else "known: " + ", ".join(known)
    return f"{_short(key)} is no key here; {hint}"


def _yaml_problem(bad: yaml.MarkedYAMLError) -> str:
    problem = bad.problem or "cannot be read"
    if "\\t" in problem:
        return "a tab; indent with spaces"
    return f"YAML: {problem}; quote a value that holds : or # or starts with a sign"


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default(cls: type, key: str) -> Any:
    field = next(field for field in fields(cls) if field.name == key)
    return "" if field.default is MISSING else field.default


class _Flow(list[Any]):
    """A list to be written in brackets, on one line."""


class _LineDumper(yaml.SafeDumper):
    """Writes every text on one line."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the same words twice stay words
        return True


class _BlockDumper(_LineDumper):
    """Writes a text of several lines as such, where YAML can."""


def _text(dumper: yaml.SafeDumper, text: str) -> Node:
    odd = any(ord(c) < 32 or c in "\x85\u2028\u2029\ufeff" for c in text.replace("\n", ""))
    style = None
    if odd or "\n" in text:
        style = "|" if isinstance(dumper, _BlockDumper) and not odd and text[0].strip() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _dumper in (_LineDumper, _BlockDumper):
    _dumper.add_representer(str, _text)
    _dumper.add_representer(
        _Flow,
        lambda dumper, data: dumper.represent_sequence(
            "tag:yaml.org,2002:seq", data, flow_style=True
        ),
    )
