"""The command `harbor-backup`, which works without Airflow.

main           arguments, exit codes, signals
commands       what the commands do
progress       what is shown while they do it; the only module that writes to a terminal
credentials    who logs in where
"""
