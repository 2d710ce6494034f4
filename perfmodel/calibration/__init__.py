"""Does it match reality: measured points, machines fitted to them, and how far predictions are off.

::

    points = cases(load_measurements("mine.toml"))
    found = fit([case for case in points if case.split == "fit"], DESKTOP)
    text = render(load_machine("i7_12700k"), found)     # a machine file
    compared = [predict(case) for case in points]
    scores(compared).mape

Nothing here is needed for an estimate. Only :mod:`perfmodel.calibration.host` runs anything.
"""
