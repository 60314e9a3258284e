"""A snapshot as a read-only registry, so that clusters can pull while Harbor is gone.

It needs the extra `serve`: this is the only room that knows `starlette`, `uvicorn` and `bcrypt`. It
writes nothing, neither to the store nor anywhere else.

    catalogue           what the snapshot holds, in memory
    digests             many digests in little memory
    content, streaming  blobs out of the store, whole or in part; on their way to a client
    app                 the distribution API (`/v2/`)
    answers             its errors and pages, and what requests may ask for
    guard               logins, and the log of who asked for what
    logins              a file of users and passwords
    listening, server   the address and its certificate; the process
"""
