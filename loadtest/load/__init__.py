"""Load scenarios: locust asks a real gateway in front of `sidecar.py`, and what was promised is judged.

`scenario.py` says what a scenario is, `../scenarios/` has one module for each. `stand.py` runs one, `verdict.py`
judges, `report.py` writes it down. `users.py`, `wire.py` and `record.py` are the half that lives inside locust.
"""
