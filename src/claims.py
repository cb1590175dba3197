"""The public names of the claims and their verdicts; see `src.evidence`."""

from src.evidence.claims import CLAIMS, find
from src.evidence.statements import Claim, Statement
from src.evidence.verdicts import Verdict, judge, strongest

__all__ = ["CLAIMS", "Claim", "Statement", "Verdict", "find", "judge", "strongest"]
