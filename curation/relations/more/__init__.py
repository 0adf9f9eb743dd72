"""The kinds beyond the paper's seven, one small module each: definition, formula, margin.

Every function answers for measuring frames ``a < b`` with an ``Answer`` (value, label, sigma, margin, details), or None where
the kind has no meaning there. A margin is the least distance to any boundary that would change the label, in sigma.
"""
