"""Companion to "Vision Transformers provably learn spatial structure" (Jelassi, Sander, Li, NeurIPS 2022)."""

import os

# Read when torch loads. Threads that spin while they wait cost a descent ten times its time as soon as another
# process wants a core; threads that sleep cost nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
