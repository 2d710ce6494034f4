"""This computer: which CPU it is, how long single operators take on it, and whole models.

The only part of perfmodel that runs what it predicts.
"""
