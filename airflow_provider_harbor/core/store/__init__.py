"""The backup store: its format, and the only code that writes it.

It knows nothing of registries, nor of how content gets there.

    backup_store     the store as a whole; its docstring is the format
    inventories      where the inventory of a project is
    known            what a destination is known to hold
    leases           which run may write
    storage          files, on a disk or an object storage: the only module that knows `fsspec`
"""
