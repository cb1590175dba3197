"""Every test runs with the shapes and types in `src`'s signatures checked at each call."""

import pytest
from jaxtyping import config, install_import_hook

install_import_hook("src", "beartype.beartype")


@pytest.fixture
def unchecked():
    """Without those checks, where they would answer before the function's own refusal."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
