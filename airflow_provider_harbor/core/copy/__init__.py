"""Copying content from one place to another. All concurrency of copying is here.

It knows nothing of runs, snapshots and reports.

    plan                 what has to be copied, and in which order
    transfer, blobs      carry out a plan; one blob
    destination          where copies go, and what it holds
    outcome, failures    what became of each record; why one failed, in plain words
    giving_up            when to try no more
"""
