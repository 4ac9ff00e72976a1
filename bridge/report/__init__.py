"""Reports for people and for programs: everything shown is given; nothing is computed here but layout and rounding."""
