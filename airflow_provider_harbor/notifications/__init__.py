"""Messages to people about backups: once a run, and where none is complete for too long.

message     what is said: verdict, projects, reasons, links
notice      find what the run has left for that
harbor      say it by Airflow's own notifiers when a run has ended
deadline    say it when no run was complete for too long
"""
