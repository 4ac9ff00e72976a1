"""Patients of the OpenKBP Grand Challenge, in its published form and packed."""
