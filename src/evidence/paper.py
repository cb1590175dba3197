"""What the paper's figures show, as numbers to stand beside ours; from book/paper_figures.yaml."""

from src.common.choices import one_of
from src.common.sources import ROOT

FILE = ROOT / "book" / "paper_figures.yaml"


def paper_figure(name: str) -> dict:
    """The numbers of one figure, such as "figure_7". ValueError suggests the nearest name."""
    import yaml

    figures = yaml.safe_load(FILE.read_text())
    return figures[one_of("figure", name, figures)]
