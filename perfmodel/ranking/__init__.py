"""Rankings of CPUs: margins, probabilities, and the figures that decide them."""

from perfmodel.mapping.unknowns import Unknown
from perfmodel.ranking.ranking import Pair, Ranking, rank
from perfmodel.ranking.sensitivity import Influence

__all__ = ["Influence", "Pair", "Ranking", "Unknown", "rank"]
