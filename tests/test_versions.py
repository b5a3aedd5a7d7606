from importlib.metadata import version

import speechtl
from speechtl.versions import version_of, versions


def test_versions_name_speechtl_python_and_the_packages_that_are_installed():
    assert versions(["numpy", "no-such-package"]) == {
        "speechtl": speechtl.__version__,
        "python": versions()["python"],
        "numpy": version("numpy"),
    }
    assert {"numpy", "onnxruntime"} <= versions().keys()


def test_a_package_that_is_not_installed_has_no_version():
    assert version_of("numpy") == version("numpy")
    assert version_of("no-such-package") is None
