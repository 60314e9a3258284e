"""What a person or a DAG asks for: a backup, in its steps, and its report.

backup                 list, copy, conclude
results                how a project ended
report, report_page    how a run ended, as values and as a page
"""
