"""Output formats of a report.

`choice` maps the names that `--format` accepts to renderers. `plain`, `terminal`, `markdown` and `latex` each render
the same chapters of string tables; `fitting` breaks and splits tables that are too wide for a terminal.
"""
