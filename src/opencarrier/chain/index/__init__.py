"""All numbers of our contracts, rebuilt from events alone and compared with the contracts."""

from opencarrier.chain.index.folds import FOLDS, folds_of
from opencarrier.chain.index.indexer import Checked, Indexer
from opencarrier.chain.index.model import Add, Change, Fold, Put, folded

__all__ = [
    "FOLDS",
    "Add",
    "Change",
    "Checked",
    "Fold",
    "Indexer",
    "Put",
    "folded",
    "folds_of",
]
