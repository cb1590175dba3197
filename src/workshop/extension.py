"""What the book adds to Sphinx: links from a public name to its entry, the form of docstrings, a button for Binder."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

import src.synthetic
import src.vision

PUBLIC = {name: f"{home.__name__}.{name}" for home in (src.synthetic, src.vision) for name in home.HOMES}
ENTRY = re.compile(r"(?P<names>[\w*]+(?:, [\w*]+)*) : (?P<meaning>.+)")


class NamesAreLinks(SphinxTransform):
    """A public name between backticks leads to its entry."""

    default_priority = 500

    def apply(self, **options: object) -> None:
        for literal in [*self.document.findall(nodes.literal)]:
            target = PUBLIC.get(literal.astext())
            if target and not isinstance(literal.parent, nodes.reference | addnodes.pending_xref):
                link = addnodes.pending_xref(
                    "",
                    refdomain="py",
                    reftype="obj",
                    reftarget=target,
                    refdoc=self.env.docname,
                    refexplicit=True,
                )
                literal.replace_self(link)
                link += literal


def entries(docstring: list[str]) -> Iterator[str]:
    """The lines of a docstring, `name : meaning` in two, for numpydoc's form would take the meaning for a type."""
    for line in docstring:
        entry = ENTRY.fullmatch(line)
        yield from (entry["names"], f"    {entry['meaning']}") if entry else (line,)


def _split_entries(app, what, name, of, options, lines: list[str]) -> None:
    lines[:] = entries(lines)


def _binder_needs_an_address(app: Sphinx, config: Config) -> None:
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _split_entries, priority=400)  # before napoleon's 500
    app.connect("config-inited", _binder_needs_an_address)
    app.add_transform(NamesAreLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
