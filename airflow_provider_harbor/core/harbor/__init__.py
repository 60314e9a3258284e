"""Harbor: its REST API, and what is read from it.

It knows nothing of where a backup goes.

    client, pages        the REST API (`/api/v2.0`); its lists, to their end
    models, paths        what Harbor answers, as values; names as parts of its paths
    check                is Harbor there and healthy, is this the login, does it see all?
    inventory, listing   everything that a project holds; one repository at one time
    records              the inventory as values and as a file
"""
