"""Tests with a real scheduler, API server and triggerer."""
