"""Evidence: records, the claims they bear on, the verdicts that follow, and the figures and tables of both."""
