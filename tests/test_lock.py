"""The three lists of packages agree: what is named, what is pinned, and what CI may install."""

import re
import tomllib

from src.common.sources import ROOT

DIGEST = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def pins(file: str) -> dict[str, str]:
    """Versions by name, as the index writes names."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def test_what_is_named_is_pinned_and_what_is_pinned_has_its_hashes():
    named, pinned, hashed = map(pins, ("requirements.txt", "requirements.lock", ".ci/hashes.lock"))
    assert named and named.items() <= pinned.items()
    assert pinned.items() <= hashed.items()


def test_every_version_has_a_sha256_and_no_line_names_an_index():
    text = (ROOT / ".ci/hashes.lock").read_text()
    for entry in re.split(r"\n(?=\w)", text.rstrip("\n")):
        first, *digests = entry.split("\n")
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\]+)? \\", first), first
        assert digests and all(map(DIGEST.fullmatch, digests)), first
    assert "://" not in text


def test_the_build_of_this_package_is_pinned_too():
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert backend == f"setuptools=={pins('.ci/hashes.lock')['setuptools']}"
