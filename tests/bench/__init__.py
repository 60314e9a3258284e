"""Benchmarks: programs that print figures. They are no tests, and no part of the suite.

memory    what a backup of 100,000 artifacts takes of it: python -m tests.bench.memory
cut_lines what a large blob over a line that is cut costs: python -m tests.bench.cut_lines
w1        the time into a directory, compared with that into a registry: python -m tests.bench.w1
"""
