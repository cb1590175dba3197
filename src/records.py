"""The public name of what a run leaves behind; see `src.evidence.records`."""

from src.evidence.records import Record, load_records

__all__ = ["Record", "load_records"]
