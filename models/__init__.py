"""Dose prediction: the predictor protocol, model cards, the models themselves, and how they are measured.

Nothing here reads DICOM or configuration, and nothing here needs a learned weight to work: the ``geometric``
model predicts from distances alone.
"""
