"""Evaluation: grading, intervals, summaries."""
