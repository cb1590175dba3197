"""HTML from the files in `templates`."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

FOLDER = Path(__file__).parent / "templates"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
FILTERS = ENVIRONMENT.filters


class Html(str):
    """A fragment that a notebook shows as HTML."""

    def _repr_html_(self) -> str:
        return str(self)


def render(template: str, **context: object) -> Html:
    """A template filled in; every text is escaped."""
    return Html(ENVIRONMENT.get_template(template).render(**context))


def source_text(name: str) -> str:
    """A style sheet or a script, as it is."""
    return (FOLDER / name).read_text()
