"""Harbor: its REST API, and what is read from it.

It knows nothing of where a backup goes.

    client, pages        the REST API (`/api/v2.0`); its lists, to their end
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
    settings_kinds       all that is no artifact: which kinds there are, where each is read
    settings_form        settings in canonical form: two exports compare byte for byte
    settings_reader      reads them; what the login may not read is named
    settings_assembly    canonical settings of what was answered
    settings_target      a Harbor that is written to: its ids for names
    settings_bodies      what is sent to write a setting
    settings_writer      creates, updates, deletes
    settings_system_writer, settings_project_writer, settings_robot_writer  of it: what takes more
    settings_requests    what these share
    settings_values      settings that were read, and what could not be
    settings_versions    which Harbor knows which field
"""
