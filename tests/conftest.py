"""Every test runs with the shapes and types in `src`'s signatures checked at each call."""

from jaxtyping import install_import_hook

install_import_hook("src", "beartype.beartype")
