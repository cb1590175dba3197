"""Figures of the page on neighbours: encodings by digits."""

from matplotlib.figure import Figure

from src.evidence.figures import INK, PALETTE, SMALL, figure_style, legend_below, panels
from src.evidence.records import Record

ARMS = {
    "decimal": "decimal digits,\nsmall grid",
    "binary": "binary digits,\nsmall grid",
    "windows": "decimal, small\ngrid shifted",
    "whole": "decimal, large\ngrid",
    "table": "free table,\nsmall grid",
}


def monotonicity_by_arm(record: Record) -> Figure:
    """M_U of every repetition on the small and on the large grid, by what was trained on which places.

    Lines: 2, the ideal, and 1.749, published for learned encodings.
    """
    grids = {
        "small": ("on the small grid", "content", "o"),
        "large": ("on the large grid", "positional", "^"),
    }
    with figure_style():
        figure, axis = panels(figsize=(7.2, 3.0))
        for shift, (grid, (label, colour, marker)) in zip((-0.12, 0.12), grids.items(), strict=True):
            for place, arm in enumerate(ARMS):
                values = record.values(f"m_u_{grid}_{arm}")
                at = [place + shift] * len(values)
                axis.plot(
                    at, values, marker, color=PALETTE[colour], alpha=0.8, label=label if not place else None
                )
        axis.axhline(2, color=INK, linewidth=1, linestyle="--")
        axis.axhline(1.749, color=INK, linewidth=1, linestyle=":")
        axis.set(ylabel="undirected monotonicity", ylim=(0.95, 2.05))
        axis.set_xticks(range(len(ARMS)), ["decimal", "binary", "shifted", "whole", "table"], fontsize=SMALL)
        axis.grid(axis="x", visible=False)
        legend_below(figure, axis, columns=2)
    return figure


def similarity_maps(record: Record) -> Figure:
    """First repetition: cosine similarity of the place in the middle of the small grid to all of the large one."""
    side = record.parameters["side"]
    with figure_style():
        figure, axes = panels(1, len(ARMS), figsize=(9, 2.3))
        for axis, (arm, title) in zip(axes, ARMS.items(), strict=True):
            image = axis.imshow(record.arrays[f"similarity_{arm}"], vmin=-1, vmax=1)
            axis.plot(
                [-0.5, side - 0.5, side - 0.5], [side - 0.5, side - 0.5, -0.5], color="white", linewidth=1.5
            )
            axis.set_title(title, fontsize=SMALL)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        figure.colorbar(image, ax=axes, shrink=0.8, label="similarity")
    return figure
