"""The words everything is said in: money, quantities, time, ids, trees, signatures, refusals."""
