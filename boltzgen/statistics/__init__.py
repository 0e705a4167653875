"""Sums over weighted draws that keep no conformation, and add up to the same digits in any order."""
