"""Work shared among the workers of a Dask cluster: processes of one machine, or of many."""
