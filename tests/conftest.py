"""Every test runs with the shapes and types in `src`'s signatures checked at each call."""

import pytest
from jaxtyping import config, install_import_hook

install_import_hook("src", "beartype.beartype")


@pytest.fixture(scope="session")
def digits():
    """320 training images of 8 x 8."""
    from src.vision.images import load_images

    return load_images("digits", limit=320)


@pytest.fixture(scope="session")
def validation():
    """All validation images of the digits."""
    from src.vision.images import load_images

    return load_images("digits", split="validation")


@pytest.fixture
def unchecked():
    """Without those checks, where they would answer before the function's own refusal."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
