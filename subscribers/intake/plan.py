"""What an import is asked to do, and how far it says it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from subscribers.intake.columns import Columns
from subscribers.intake.merge import Policy
from subscribers.intake.person import Incoming
from subscribers.intake.row import Form, Refusal
from subscribers.intake.run import Counts, RunId


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import is to do."""

    basis: str  # where and to which words these people agreed; kept as the wording of their consent
    source: str  # the file's name, kept in their consent
    segments: tuple[str, ...] = ()  # followed by everybody in the file, beside those of their row
    policy: Policy = Policy.UPDATE
    actor: str = ""  # who imports
    dry_run: bool = False  # say what would happen, and write nothing
    told: Mapping[str, str] = field(default_factory=dict)  # folded heading -> target
    encoding: str = ""  # "": found out
    keep_opt_outs: bool = False  # suppress those who opted out where they come from
    again: bool = False  # even where this file was imported by this plan before

    def kept(self, found: Columns) -> dict[str, object]:
        """What two imports of a file have to share to be the same one, as JSON has it."""
        return {
            "basis": self.basis.strip(),
            "segments": list(self.segments),
            "policy": self.policy.value,
            "columns": [[column.heading, column.target] for column in found.each],
            "encoding": self.encoding,
            "keep_opt_outs": self.keep_opt_outs,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import has come."""

    counts: Counts = field(default_factory=Counts)
    part: float = 0  # of the file, from 0 to 1
    refusals: tuple[Refusal, ...] = ()  # of this batch only
    headings: tuple[str, ...] = ()
    columns: Columns = field(default_factory=lambda: Columns(()))
    form: Form = field(default_factory=lambda: Form("CSV"))
    run: RunId | None = None  # None in a dry run
    resumed: int = 0  # the line it goes on after; 0 where it begins at the beginning
    already: bool = False  # was finished before: nothing was done


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would make of a file's first rows."""

    form: Form
    columns: Columns
    people: tuple[Incoming, ...]
    refusals: tuple[Refusal, ...]
