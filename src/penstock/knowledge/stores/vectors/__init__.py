"""The vectors of a knowledge base in memory: scanned exactly, or through a graph where that is too slow.

`indexes.py` keeps an index for each generation in use; `index.py` searches one; `segment.py` holds rows that never
change; `columns.py` answers which documents a search may find; `graph.py` and `sidecar.py` are HNSW and its file.
"""
