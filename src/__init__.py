"""Companion to "Vision Transformers provably learn spatial structure" (Jelassi, Sander, Li, NeurIPS 2022)."""
