"""Whether a store is whole, what can be had of its registries, and what can be repaired.

verify      all of it, one stage after the other
lists       of it: snapshots, results, inventories, contents
pool        of it: the pool, its names and its bytes
settings    of it: Harbor's settings
registry    of it: what a registry lists, can it serve it?
uses        where damage is used
repair      what can be repaired, and from where
rebuild     lists and results that can be made again
report      what a verification came to
page        the same as a page
"""
