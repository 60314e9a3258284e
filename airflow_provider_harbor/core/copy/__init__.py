"""Copying content from one place to another. All concurrency of copying is here.

It knows nothing of runs, snapshots and reports.

    places                what copying knows of where content is
    registry_places       any registry to copy from, and a Harbor to copy to
    plain_registry        a registry without Harbor's API to copy to
    mirror                a registry that has the content of a restore
    store_place           a backup store
    opening               which kind of registry is at a URL
    plan                  what has to be copied, and in which order
    transfer              carries out plans: how much at once, in which order
    repository_copy       one repository, in its parts
    shared, threads       what copies that go on side by side have in common; how much at once
    blobs, manifests      one blob; what is fetched once
    outcome, failures     what became of each record; why one failed, in plain words
    giving_up             when to try no more
"""
