"""Companion to "Vision Transformers provably learn spatial structure" (Jelassi, Sander, Li, NeurIPS 2022)."""

import os

# Read when torch loads its OpenMP: how long a thread that waits keeps its core busy before it sleeps. The default,
# about a millisecond, made a descent ten times slower as soon as another process wanted a core.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
