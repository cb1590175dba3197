"""The experiments: one file a claim, `run(settings)` gives what was measured; `table` says which is which."""
