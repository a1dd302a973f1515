"""Measurements: CPU seconds, memory and ratios. Figures are kept in bench/README.md."""
