"""Executors: this process, several processes, or a Dask cluster, all with the interface of `concurrent.futures`.

`choice` selects one and is the place to start; `serial`, `processes` and `cluster` implement them. Calls must be
picklable, except for `serial`.
"""
