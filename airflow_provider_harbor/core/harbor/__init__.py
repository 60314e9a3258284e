"""Harbor: its REST API, and what is read from it.

It knows nothing of where a backup goes.

    api, pages           the REST API (`/api/v2.0`); its lists, to their end
    client               what a backup asks of it
    clock                what time it is there
    models, paths        what Harbor answers, as values; names as parts of its paths
    check                is Harbor there and healthy, is this the login, does it see all?
    inventory            everything that a project holds: a walk through its repositories
    earlier              what was listed before, and did not change since
    batches, changes     some of them at one time; which of those changed meanwhile
    listing, settling    one repository; again, until it is quiet
    gaps                 what could not be listed, and when to give up
    scratch              a project that is made, filled, and removed
    records              the inventory as values and as a file
"""
