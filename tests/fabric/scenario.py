"""Scenarios, which tests look at, and their order; see conftest.py."""

import pytest


def scenario(function):
    """Marks a test with what happens before it, side by side with other scenarios."""
    return pytest.mark.scenario.with_args(function)
