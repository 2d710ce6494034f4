"""Where models come from: names, factories and files, as a module and its inputs.

Listing names imports no torch; building a model does.
"""
