"""Reports: analyses of stored results as tables, records and verdicts.

`tables` turns each analysis into a chapter of tables (`metric_tables`, `audit_tables`, `selection_table`, `published`),
`overview` summarises many protocols on one page, `records` flattens analyses into JSON and CSV records with stable
keys, and `verdict` renders the outcome of a regression check. All tables are plain strings (`table`), which `formats`
renders for the terminal, Markdown and LaTeX.
"""
