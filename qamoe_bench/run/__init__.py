"""Runs: from the options of a command or a study file to stored cells.

Read in the order of a run: `grid` (options and study tables), `request` (one product of models, protocols, regimes and
seeds on one data set), `planner` and `merge` (requests become a `plan` of jobs), `pending` (the part that is not stored
yet), `runner` (submits that part to an executor), `worker` (runs a job, with `curve_recorder` for a diagnosis) and
`remote` (runs it on another machine). `study` reads study files, `presets` holds named settings, and `forecast` and
`dry_run` estimate a run without starting it; `progress` shows how far it is. Start with `plan`, whose types the others
share.
"""
