"""Knowledge-based DVH estimation: what earlier plans reached in like anatomies, as a band of DVHs for each organ.

It follows the published building blocks of such estimators (expected dose from geometry, split of an organ by the
fields, principal components, stepwise regression). It is no product's algorithm and is not validated as one.
"""
