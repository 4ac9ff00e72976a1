"""Radiotherapy values and arithmetic: pure, with no DICOM, no files, no network and no configuration.

Space is DICOM patient coordinates (LPS) in millimetres, arrays are ``[z, y, x]``, dose is in gray and
volume in cubic centimetres, everywhere above this package and inside it.
"""
