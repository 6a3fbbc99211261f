"""Where a run computes: this process, several processes, or a Dask cluster."""
