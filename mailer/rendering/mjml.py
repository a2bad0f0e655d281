"""The only door to the MJML engine: a theme's source in, the mail's HTML out.

The engine (mrml, through mjml-python) says little about errors, lets unknown tags through, kills
the process on deep nesting and would fetch fonts; so nothing reaches it that `mjml_rules` has not
read first, and it is never given fonts or an include loader.
"""

import mjml

from mailer.rendering.mjml_rules import MjmlInvalid, Problem, problems


def compile_mjml(source: str, *, name: str) -> str:
    """HTML for an MJML document whose words are slot tokens; `name` is the file, for messages.

    Raises MjmlInvalid with file, line and column for everything our themes may not contain.
    """
    if found := problems(source):
        raise MjmlInvalid(name, found)
    try:
        return mjml.mjml2html(source, fonts={})
    except ValueError as error:  # the rules have a gap: the engine knows no line
        raise MjmlInvalid(name, (Problem(1, 1, f"the engine says: {error}"),)) from error


__all__ = ["MjmlInvalid", "compile_mjml"]
