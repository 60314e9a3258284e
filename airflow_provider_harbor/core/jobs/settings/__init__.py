"""Keep Harbor's settings for a night, compare them, and bring them back.

exporting         keep them for a night
nights            which nights have some
compare           what differs between two of them
importing         bring settings back
wanted            of it: of which night, which of it, under which names
forms             of it: what of a document has another form
plan              of it: what would be done, in which order
plan_projects, plan_configurations  of that: projects; the configurations
doing             of it: do the steps
steps             of it: what is done to one setting, and when
limits            of it: what cannot be done, and why
configurations    of it: the same of the configurations
fitting           of it: what this Harbor does not know is left out
own_login         of it: its own login
pairs             of it: what is there already, and what surplus may go
remembered        of it: what the store remembers of what is made
made              of it: what comes with a project that is made
made_robots       of it: robots that were made, and whose secrets nobody has yet
renames           of it: projects under other names
secrets           of it: secrets that are given
known             of it: secrets that are there, and stay with their addresses
hiding            of it: secrets in what Harbor says
rights            of it: whether the login may do it at all
labels            of it: labels on artifacts
outcome           of it: what it came to
report            what the report of a run says of them
"""
