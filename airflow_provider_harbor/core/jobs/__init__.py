"""What a person or a DAG asks for.

backup                 list, copy, conclude
listing                the list of one project
project_copy           the copy of one project
memory                 what is remembered of a registry that is copied to
restore                bring back what a snapshot holds: choose, restore, conclude
project_restore        bring back one project
choosing               which snapshot, and what of it
export, export_report  a repository of it as a directory that other tools read
search, found_page     in which nights something is, as values and as a page
comparing              what differs between two nights
usage                  how much room a store takes
overview               all nights in short: which are whole, and how each project fares
overview_page          the same as a page
project_page           how one project fares, as a page
last_reports           how the last verification, drill and restore ended
plots                  small plots for pages
forget, prune          which nights are kept; delete what nothing names any more
rights                 who may delete
results                how a project ended
settings/              keep Harbor's settings, compare them, bring them back
totals                 what a run comes to, as one sum, and the words of it
report, report_page    how a run ended, as values and as a page
trail                  what a report says of before: last protected, earlier attempts
losses                 what a report says of projects that hold far less than before
page                   what the pages of all reports share
verification/          is a store whole, and what can be had of its registries?
drill                  restore a sample, compare it, remove it
drill_report           what a drill came to, as values and as a page
keeping                keep a report in its store
side_by_side           ask for many; things that fail, or the place that they are read from
"""
