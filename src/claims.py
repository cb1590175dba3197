"""The public names of the claims and their verdicts; see `src.evidence`."""

from src.evidence.claims import CLAIMS, Check, Claim, find
from src.evidence.verdicts import Verdict, judge, strongest

__all__ = ["CLAIMS", "Check", "Claim", "Verdict", "find", "judge", "strongest"]
