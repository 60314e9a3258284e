"""HTTP: requests and their answers, within bounds and without a login in what is shown.

The only room that knows `requests`. It knows nothing of registries, of Harbor, or of backups.

    transport              a session with one server: retries, redirects; what clients are made of
    answers, statuses      what comes back, read within bounds; what an error status means
    connections, patience  sending one request; how long to wait for what
    tries                  whether a request is sent again
    pace, slots            one pace for each server, shared by all threads: who may send, and when
    refusals               what is refused for ever, and is no matter of the pace
    pace_notes             what reports say of it
    window, allowance      how much at once; how fast, where a server answers 429
    rate                   how many bytes a second a process moves at most
    waiting                waiting that ends where a thread is told to stop
    logins                 what to say where a login is not accepted
    connection_errors      why there was no answer, in plain words
    echoes                 taking a login out of what a server sends back
    attempts               doing again what is more than one request
    urls                   URLs as people write them, and as they may be shown
"""
