"""Messages to people about backups: once a run, and where none is complete for too long.

message     what is said: verdict, projects, reasons, links
notice      find what the run has left for that
told        remember that, so that people hear when it is green again
harbor      say it by Airflow's own notifiers when a run has ended
deadline    say it when no run was complete for too long
"""
