"""Load scenarios: locust asks a real gateway in front of `sidecar.py`, and what was promised is judged.

`scenario.py` says what a scenario is, `variant.py` what one run of it is, `stand.py` runs it. `../scenarios/` has one
module for each scenario. `verdict.py` judges, `report.py` writes it down. `users.py`, `wire.py` and `record.py` are the
half that lives inside locust.
"""
