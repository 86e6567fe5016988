"""The steps of the pipeline, one per file; `gateway/pipeline.py` lists them in order."""
