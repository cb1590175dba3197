"""The workshop: measuring a claim, running chapters, building the book, sweeps, the command line."""
