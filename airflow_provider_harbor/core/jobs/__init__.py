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
settings_export        keep Harbor's settings for a night
settings_nights        which nights have some
settings_compare       what differs between two of them
settings_import        bring settings back
settings_wanted        of it: of which night, which of it, under which names
settings_forms         of it: what of a document has another form
settings_plan          of it: what would be done, in which order
settings_plan_projects, settings_plan_configurations  of that: projects; the configurations
settings_doing         of it: do the steps
settings_steps         of it: what is done to one setting, and when
settings_limits        of it: what cannot be done, and why
settings_configurations  of it: the same of the configurations
settings_fitting       of it: what this Harbor does not know is left out
settings_own_login     of it: its own login
settings_pairs         of it: what is there already, and what surplus may go
settings_remembered    of it: what the store remembers of what is made
settings_made          of it: what comes with a project that is made
settings_made_robots   of it: robots that were made, and whose secrets nobody has yet
settings_renames       of it: projects under other names
settings_secrets       of it: secrets that are given
settings_known         of it: secrets that are there, and stay with their addresses
settings_hiding        of it: secrets in what Harbor says
settings_rights        of it: whether the login may do it at all
settings_labels        of it: labels on artifacts
settings_outcome       of it: what it came to
settings_report        what the report of a run says of them
totals                 what a run comes to, as one sum, and the words of it
report, report_page    how a run ended, as values and as a page
trail                  what a report says of before: last protected, earlier attempts
page                   what the pages of all reports share
verify                 is a store whole, and what can be had of its registries?
verify_lists           of it: snapshots, results, inventories, contents
verify_pool            of it: the pool, its names and its bytes
verify_settings        of it: Harbor's settings
verify_registry        of it: what a registry lists, can it serve it?
verify_uses            where damage is used
verify_repair          what can be repaired, and from where
verify_rebuild         lists and results that can be made again
verify_report          what a verification came to
verify_page            the same as a page
drill                  restore a sample, compare it, remove it
drill_report           what a drill came to, as values and as a page
keeping                keep a report in its store
side_by_side           things that fail, or the place that they are read from
"""
