"""A figure on a page: two forms, the page's ink, text that can be read, and an alternative text."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from src.evidence.figures import DESK, INK, SMALL, figure_style, legend_below, panels
from src.evidence.figures.page import NO_TEXT, PANEL, PHONE, THUMBNAILS, stacked, to_html
from src.experiments.table import CHAPTERS
from src.workshop.runs import notebook
from src.workshop.site import write_back


def drawn(rows=1, columns=3, **options):
    with figure_style():
        figure, axes = panels(rows, columns, figsize=(10, 4), squeeze=False, **options)
        for (row, column), axis in np.ndenumerate(axes):
            axis.plot([0, 1, 2], [0, column, row], label="a line")
            axis.set(xlabel=f"x {column}", ylabel=f"y {row}", title="" if row else f"column {column}")
            axis.label_outer()
    return figure


def places(figure):
    """(left, bottom) of each panel, once drawn."""
    figure.canvas.draw()
    return np.array([axes.get_position().p0 for axes in figure.axes])


def test_no_figure_is_wider_than_a_page():
    assert drawn().get_size_inches().tolist() == [DESK, 4]


def test_on_a_phone_panels_stand_one_below_the_other_each_with_its_labels():
    figure = drawn(2, 2, sharex=True)
    tall = stacked(figure)
    left, bottom = places(tall).T
    assert np.ptp(left) < 0.02 and (np.diff(bottom) < -0.1).all()
    assert tall.get_size_inches().tolist() == [PHONE, 4 * PANEL]
    labels = [(axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) for axes in tall.axes]
    assert labels == [(f"column {c}", f"x {c}", f"y {r}") for r in (0, 1) for c in (0, 1)]
    assert all(text.get_visible() for axes in tall.axes for text in axes.get_xticklabels())
    assert figure.axes[0].get_xlabel() == "" and figure.get_size_inches().tolist() == [DESK, 4]  # as it was


def test_a_colour_bar_and_a_legend_of_all_panels_come_along():
    figure = drawn()
    with figure_style():
        figure.colorbar(figure.axes[0].imshow(np.eye(3)), ax=figure.axes)
        legend_below(figure, figure.axes[1])
    tall = stacked(figure)
    bottom = places(tall)[:3, 1]
    assert (np.diff(bottom) < -0.1).all() and len(tall.axes) == 4
    frame = tall.legends[0].get_window_extent().transformed(tall.transFigure.inverted())
    assert frame.y1 <= bottom.min()


def test_pictures_without_axes_stay_side_by_side():
    figure = drawn(1, 7)
    for axes in figure.axes:
        axes.set_axis_off()
    left, bottom = places(stacked(figure)).T
    assert len(np.unique(left.round(3))) == THUMBNAILS and len(np.unique(bottom.round(3))) == 2


def test_of_few_pictures_without_axes_half_stay_side_by_side_twice_as_large():
    figure = drawn(2, 4)
    for axes in figure.axes:
        axes.set_axis_off()
    figure.axes[7].remove()
    tall = stacked(figure)
    left, bottom = places(tall).T
    assert len(np.unique(left.round(3))) == 2 and len(np.unique(bottom.round(3))) == 4
    assert tall.get_size_inches()[1] > 4 * PHONE / 2


def test_of_pictures_without_ticks_rows_and_columns_change_places():
    figure = drawn(2, 4)
    for axes in figure.axes:
        axes.set(xticks=[], yticks=[])
    tall = stacked(figure)
    left, bottom = places(tall).reshape(2, 4, 2).transpose(2, 0, 1)  # by row and column of the desk
    assert left[0, 0] + 0.2 < left[1, 0] and (np.ptp(left, axis=1) < 0.02).all()
    assert (np.diff(bottom, axis=1) < -0.1).all() and (np.ptp(bottom, axis=0) < 0.02).all()
    assert [axes.get_title() for axes in tall.axes] == [f"column {column}" for column in range(4)] * 2


def test_ink_is_the_pages_and_text_is_text():
    html = to_html(drawn())
    assert html.count("<svg") == 2 and INK not in html and "currentColor" in html
    assert html.count(">column 1<") == 2 and html.count(NO_TEXT) == 2
    assert html == to_html(drawn())  # the same at each drawing: a diff shows what changed


def test_names_inside_one_form_are_not_those_of_the_other():
    desk, phone = to_html(drawn()).split('class="drawn phone"')
    clips = [set(re.findall(r'clipPath id="(\w+)"', form)) for form in (desk, phone)]
    assert all(clips) and not clips[0] & clips[1]


def test_the_alternative_text_is_that_of_the_cell(tmp_path):
    output = {"output_type": "execute_result", "metadata": {}, "data": {"text/html": to_html(drawn())}}
    metadata = {"mystnb": {"image": {"alt": 'Three "lines" & axes'}}}
    cell = {
        "cell_type": "code",
        "source": "1",
        "execution_count": 1,
        "outputs": [output],
        "metadata": metadata,
    }
    executed = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "in.ipynb").write_text(json.dumps(executed))
    write_back(tmp_path / "in.ipynb", tmp_path / "out.ipynb")
    (written,) = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    html = "".join(written["outputs"][0]["data"]["text/html"])
    assert NO_TEXT not in html and html.count('aria-label="Three &quot;lines&quot; &amp; axes"') == 2


def sizes_of_text(html):
    return [float(each) for each in re.findall(r"font(?:-size)?: ?[^;\"]*?([\d.]+)px", html)]


def test_logarithmic_axes_and_their_colour_bars_have_ticks_in_one_size():
    with figure_style():
        figure, (axis, signed) = panels(1, 2, figsize=(7, 3))
        axis.loglog([1e-5, 1e6], [0.2, 0.7])
        axis.set_xticks([1e-5, 0.01, 100])
        signed.plot([-100, 100], [0, 1])
        signed.set_xscale("symlog")
        colours = plt.cm.ScalarMappable(plt.matplotlib.colors.LogNorm(1e3, 1e9))
        figure.colorbar(colours, ax=axis)
    html = to_html(figure)
    assert min(sizes_of_text(html)) >= SMALL
    written = re.findall(r">([^<>]+)</text>", html)
    assert {"0.01", "100", "10⁻⁵", "0.3", "−100", "1,000", "10⁹"} <= {*written}


def test_labels_copied_on_a_phone_have_the_size_of_those_that_they_copy():
    figure = drawn(2, 2, sharex=True)
    for axes in figure.axes[:2]:
        axes.title.set_size(SMALL)
    assert [axes.title.get_size() for axes in stacked(figure).axes] == [SMALL] * 4


@pytest.mark.parametrize("chapter", [chapter for chapter in CHAPTERS if chapter != "ten_lines"])
def test_every_figure_of_the_book_has_both_forms_with_text_of_eleven_pixels(chapter):
    cells = json.loads(notebook(chapter).read_text())["cells"]
    figures = [
        each["data"]
        for cell in cells
        for each in cell.get("outputs", [])
        if "image/png" in each.get("data", {})
    ]
    for data in figures:
        html = "".join(data["text/html"])
        assert "drawn desk" in html and "drawn phone" in html and NO_TEXT not in html
        sizes = sizes_of_text(html)
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', html)[1])
        assert sizes and min(sizes) >= SMALL  # exponents, too
        assert width <= DESK * 72 * 1.02
    assert sum(len("".join(data["text/html"])) for data in figures) < 3_000_000


def test_a_light_and_a_dark_page_give_ink_enough_contrast():
    """WCAG's contrast of text, 4.5 : 1, on the two grounds of the theme."""
    css = (notebook("intro").parent / "_static" / "companion.css").read_text()
    light, dark = re.findall(r"--ink: (#\w{6});", css)
    assert contrast(light, "#ffffff") >= 4.5 and contrast(dark, "#121212") >= 4.5


def contrast(one: str, other: str) -> float:
    values = []
    for colour in (one, other):
        channels = np.array(plt.matplotlib.colors.to_rgb(colour))
        linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        values.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(values) / min(values)
