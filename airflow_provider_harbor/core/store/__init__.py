"""The backup store: its format, and the only code that writes it.

It knows nothing of registries, nor of how content gets there.

    backup_store     the store as a whole: whose it is, and what is in it
    layout           what is where; its docstring is the format
    pool             all content, each digest once
    reading          its files, read over lines that break
    unfinished       large ones that are on their way into a directory
    bucket_uploads   and into a bucket of S3
    bucket_notes     how far those have come
    kept_sha256      SHA-256 of which it can be kept how far it has come
    pool_files       its files, looked at: which there are, what is in them
    inventories      what projects held, and of what that is made
    snapshots        how each run ended
    settings_files   Harbor's settings, and which of them a run has
    vault            secrets in them, sealed with a passphrase
    result_files     how each project ended in it
    known            what a registry is known to hold
    upload_files     how far large uploads to a registry have come
    listed           what of a project need not be listed again
    nights           all snapshots in short
    leases           which run may write
    retention        which snapshots a policy keeps
    reach            what snapshots, results and pointers name
    sweeps           what is marked, and who deletes at this moment
    claims           that nobody deletes what a new result names
    documents        JSON files, and packed files of lines
    seals            checksums in JSON files
    files, troubles  a directory or an object storage: the only modules that know `obstore`
    multipart        uploads that outlive a process: the only module that knows `botocore`
    directories      what a directory has by system calls: small files, locks
    roots            that a store's directory is there, and the same as ever
    addresses, aws   where a store is; its options, out of a session of boto3
"""
