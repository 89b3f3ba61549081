"""Fixtures that every kind of test shares."""

import pytest

from libs.assets import AssetStore


@pytest.fixture(scope="session")
def assets():
    """The store with every asset of the catalogue in it, fetched into the usual cache if need be."""
    store = AssetStore.from_environment()
    store.fetch(store.catalogue.assets, lambda *_: None)
    return store
