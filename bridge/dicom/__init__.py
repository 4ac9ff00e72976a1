"""DICOM in and out: the only code that interprets data sets.

Reading checks every assumption and names the one that is broken; writing gives objects that are valid when the
function returns. What was read leaves as the values of :mod:`bridge.rt`.
"""
