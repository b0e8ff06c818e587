"""The demo's world can be served."""

from conftest import DEMO_WORLD


def test_the_demo_world_is_served(start):
    assert start(DEMO_WORLD).url.startswith("http://127.0.0.1:")
