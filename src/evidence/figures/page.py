"""A figure on a page: as text and lines in the page's own ink, once for a desk and once for a phone.

The PNG of a notebook stays beside it, for readers that show no HTML.
"""

import pickle
import re
from io import StringIO
from itertools import product

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text

from src.evidence.figures import INK, STYLE

PHONE = 4.0  # inches of text that a phone of 420 pixels has, 96 pixels an inch
PANEL = 2.7  # inches that a panel is high there
TITLE = 0.2  # inches of a title above a picture
THUMBNAILS = 5  # side by side there, of pictures without axes; of no more than these on a desk, half
NO_TEXT = 'aria-label=""'


def to_html(figure: Figure) -> str:
    """Both forms; style sheets show one of them. The alternative text is put in where the notebook is written."""
    forms = {"desk": figure, "phone": stacked(figure)}
    return "".join(
        f'<div class="drawn {name}" role="img" {NO_TEXT}>{svg(form, name)}</div>'
        for name, form in forms.items()
    )


def svg(figure: Figure, name: str) -> str:
    """The drawing as an SVG element: text as text, what is drawn in INK in the colour of the text around it.

    `name` makes its inner names others than those of another form, which may be hidden.
    """
    text = StringIO()
    with rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, flags=re.DOTALL)
    return drawing.replace(INK, "currentColor")


def stacked(figure: Figure) -> Figure:
    """A copy with its panels one below the other, each with all its labels.

    Pictures without axes stay side by side, some of them; of those without ticks rows and columns change places.
    """
    copy = pickle.loads(pickle.dumps(figure))
    panels = [
        axes for axes in copy.axes if axes.get_subplotspec() is not None and not hasattr(axes, "_colorbar")
    ]
    height = copy.get_size_inches()[1]
    if len(panels) == 1:
        copy.set_size_inches(PHONE, max(PANEL, height))
    elif not any(axes.axison for axes in panels):
        columns = panels[0].get_gridspec().ncols
        columns = THUMBNAILS if columns > THUMBNAILS else -(-columns // 2)
        rows = -(-len(panels) // columns)
        _place(panels, GridSpec(rows, columns, figure=copy))
        copy.set_size_inches(PHONE, rows * (PHONE / columns + TITLE))
    elif not any(len(axes.get_xticks()) for axes in panels):
        _label_all(panels)
        columns, rows = panels[0].get_gridspec().get_geometry()
        order = np.arange(len(panels)).reshape(columns, rows).T.ravel()
        _place([panels[each] for each in order], GridSpec(rows, columns, figure=copy))
        copy.set_size_inches(PHONE, rows * min(PANEL, PHONE / columns))
    else:
        _label_all(panels)
        _place(panels, GridSpec(len(panels), 1, figure=copy))
        copy.set_size_inches(PHONE, PANEL * len(panels))
    return copy


def _place(panels: list[Axes], grid: GridSpec) -> None:
    for axes, (row, column) in zip(panels, product(range(grid.nrows), range(grid.ncols)), strict=False):
        axes.set_subplotspec(grid[row, column])


def _label_all(panels: list[Axes]) -> None:
    """Give each panel the labels that it left to the first or last of its row or column."""
    at = {
        (axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes for axes in panels
    }
    last = max(row for row, _ in at)
    for (row, column), axes in at.items():
        axes.tick_params(labelbottom=True, labelleft=True)
        for label, of_last in zip(
            axes.get_xticklabels(), at.get((last, column), axes).get_xticklabels(), strict=False
        ):
            label.set(rotation=of_last.get_rotation(), horizontalalignment=of_last.get_horizontalalignment())
        if (last, column) in at:
            _copy(axes.xaxis.label, at[last, column].xaxis.label)
        if (row, 0) in at:
            _copy(axes.yaxis.label, at[row, 0].yaxis.label)
        if (0, column) in at:
            _copy(axes.title, at[0, column].title)


def _copy(label: Text, other: Text) -> None:
    """Write an empty label as the other is, in its size: `set_title` would take the size from no style."""
    if not label.get_text():
        label.set(text=other.get_text(), fontproperties=other.get_fontproperties(), color=other.get_color())
