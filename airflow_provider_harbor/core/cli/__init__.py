"""The command `harbor-backup`, which works without Airflow.

main                 the process: errors become exit codes, signals stop it
backup, restore      commands: copy what Harbor has; bring it back
verify, drill        commands: is all there, and right; can it be brought back?
snapshots, ls        commands: what there is to bring back
find, diff, stats    commands: look into all nights
export               command: a repository as a directory for other tools
serve                command: a snapshot as a registry that can be read
forget, prune        commands: keep only some nights, and delete what the others alone had
inventory            command: list only
settings             commands: Harbor's settings: keep them, compare them
settings_import      command: bring them back
new_secrets          secrets that are made then: in a file, or shown once
passphrases          what seals and opens secrets in them
arguments            what they have in common
outcome, tables      what they end with, and how it is shown
projects             backing up several projects at once
under_way            which of them are under way, and how far each is
progress             what is shown meanwhile; the only module that writes to a terminal
screen               how a terminal shows it; the only module that knows `rich`
credentials          who logs in where
"""
