"""Benchmarks: programs that print figures. They are no tests, and no part of the suite.

`python -m tests.bench --help`, or `make bench`.

    workloads       what is backed up: many small images, few large ones, 100,000 artifacts
    destinations    where it goes: a directory, S3, a registry
    line, limiter   a line that is long, that breaks, at whose end somebody allows few requests
    tools           what is measured: our command line, an older state of it, skopeo
    fixed           our command line with so many requests in flight as it is told
    copying         the runs, and what each came to
    tables          what is printed of it
    serve           how fast a store is served, beside nginx
    verify          how fast content is verified, beside sha256sum
    cut_lines       what a large blob over a line that is cut costs
"""
