"""Harbor's settings: all that is no artifact, read and written by its REST API.

It knows nothing of where they are kept, nor of which are to be brought back.

    kinds          which kinds there are, where each is read
    secret_values  secrets in them: what is one, what is known of it
    form           their canonical form: two exports compare byte for byte
    reader         reads them; what the login may not read is named
    assembly       canonical settings of what was answered
    values         settings that were read, and what could not be
    versions       which Harbor knows which field
    target         a Harbor that is written to: its ids for names
    bodies         what is sent to write a setting
    writer         creates, updates, deletes
    system_writer, project_writer, robot_writer  of it: what takes more
    sending        what these share
"""
