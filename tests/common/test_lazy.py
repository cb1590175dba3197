"""The names that `src.synthetic` and `src.vision` offer."""

import subprocess
import sys
from importlib import import_module

import pytest

from src.common.sources import ROOT, imported_files

PACKAGES = ("src.synthetic", "src.vision")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_that_of_its_module(package):
    module = import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name, home in module.HOMES.items():
        assert getattr(module, name) is getattr(import_module(home), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_torch_is_not_imported_before_a_name_is_used(package):
    name = import_module(package).__all__[0]
    probe = (
        f"import sys, {package} as package\nassert 'torch' not in sys.modules\n"
        f"package.{name}\nassert 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(ImportError, match="gradient_decent"):
        exec("from src.synthetic import gradient_decent")


def test_what_is_imported_by_a_lazy_name_is_followed():
    found = {file.name for file in imported_files("from src.synthetic import gradient_descent")}
    assert {"realistic.py", "gradient.py", "graphs.py"} <= found and "transfer.py" not in found
