"""Rankings of CPUs: margins, probabilities, and the figures that decide them."""

from perfmodel.ranking.ranking import Pair, Ranking, rank
from perfmodel.ranking.sensitivity import Influence
from perfmodel.ranking.unknowns import Unknown

__all__ = ["Influence", "Pair", "Ranking", "Unknown", "rank"]
