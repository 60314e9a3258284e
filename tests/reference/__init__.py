"""The page of reference, made from the docstrings: `python -m tests.reference` writes it anew."""
