"""What a person or a DAG asks for.

backup                 list, copy, conclude
project_copy           the copy of one project
memory                 what is remembered of a registry that is copied to
restore                bring back what a snapshot holds: choose, restore, conclude
project_restore        bring back one project
choosing               which snapshot, and what of it
export, export_report  a repository of it as a directory that other tools read
search                 in which nights something is
comparing              what differs between two nights
usage                  how much room a store takes
forget, prune          which nights are kept; delete what nothing names any more
rights                 who may delete
results                how a project ended
report, report_page    how a run ended, as values and as a page
"""
