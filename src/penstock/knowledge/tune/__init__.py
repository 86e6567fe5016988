"""Which way to cut and to search suits an app's own questions: candidates race, and the winner must win twice.

`questions.py` reads or makes the questions and splits them in two; `racing.py` takes the documents in once for each
way to cut, beside the knowledge and never in it, and asks; `scoring.py` says how good an order of passages is;
`report.py` is the table of what was tried, and which lines of `penstock.toml` the winner is.
"""
