"""Break the package in one place at a time, and see whether the unit and property tests notice.

cosmic-ray knows how to break code: another operator, another number, ``not`` before a condition, a
decorator gone, a loop that never runs. `places` says where that tells something, `record` which
tests run through a line, `running` makes a mutant in a copy of the project and has these tests
meet it, the quickest first, until one fails. cosmic-ray's own runner would start Python anew for
each mutant and run all tests in their order.
"""
