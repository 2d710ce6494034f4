"""Guard the latency of anyone's models: a pytest plugin, saved runs, and reports that show causes.

========== ========================================================================
documents  what is recorded of a model, of an estimate, and of the figures it read
tolerance  when two latencies or documents are the same, and budgets as people write them
changes    two recorded runs held against each other: causes, then effects
asked      what a model asks for, then and now
report     what a comparison found
rendering  that as text, Markdown and HTML
subjects   what may be guarded, and the cache of traced modules
snapshots  recorded runs as small files
put_back   an estimate by stored figures
plugin     the pytest plugin
========== ========================================================================

docs/guard.md says how to use it. A *run* here is a plain JSON object, so that it can be a file, a
folder of files, or what a worker of pytest-xdist sends::

    {"models": {NAME: document}, "figures": {SOURCE: {PATH: value}}}

Beside estimates a test may record any plain document that follows from them, such as a cost.
"""
