"""HTML from the files in `templates`."""

import base64
import hashlib
from pathlib import Path

import numpy as np
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


def widget(template: str, name: str, **context: object) -> Html:
    """A template in an element of the class `name`, with its style sheet and script; the same text every time.

    The template starts inside the element's tag, whose id is a digest of it.
    """
    body = render(f"{template}.html", **context)
    digest = hashlib.sha256(body.encode()).hexdigest()[:12]
    style, script = ((FOLDER / f"{template}.{kind}").read_text() for kind in ("css", "js"))
    return Html(
        f'<div class="{name}" id="{name}-{digest}" {body}</div>\n'
        f"<style>\n{style}</style>\n<script>\n{script}</script>\n"
    )


def base64_text(array: np.ndarray) -> str:
    """The array's bytes, as an attribute can hold them."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
