"""The command `harbor-backup`, which works without Airflow.

main                 the process: errors become exit codes, signals stop it
backup, restore, snapshots, ls, inventory
the commands, a module each
arguments            what they have in common
outcome, tables      what they end with, and how it is shown
progress             what is shown meanwhile; the only module that writes to a terminal
credentials          who logs in where
"""
