"""What the paper's figures show, as numbers with their precision: `book/paper_figures.yaml`."""

from src.common.sources import ROOT

FILE = ROOT / "book" / "paper_figures.yaml"


def paper_figure(number: str) -> dict:
    """The numbers of a figure of the paper: "2", "4", "5a", "6" or "7"."""
    import yaml

    return yaml.safe_load(FILE.read_text())[f"figure_{number}"]
