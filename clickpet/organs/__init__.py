"""Organ label maps: given, or by TotalSegmentator."""
