"""Physical figures with unit, range, confidence and source, and the records that hold them.

Descriptions of CPUs (:mod:`perfmodel.machine`) and of software (:mod:`perfmodel.software`) are made
of these; nothing here knows either.
"""
