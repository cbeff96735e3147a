"""What the command line and the package import before they are asked to do anything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "startup.py"
HEAVY = {"datasets", "numpy", "scipy", "sklearn", "torch", "pyarrow", "faiss"}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import entp_hf",
        "from entp_hf import EntpConfig; EntpConfig().validate()",
        "from typer.testing import CliRunner\nfrom entp_hf.cli.app import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0",
        "from typer.testing import CliRunner\nfrom entp_hf.cli.app import app\n"
        "assert 'absent.jsonl' in str(CliRunner().invoke(app, ['build', 'absent.jsonl', '-o', 'out']).exception)",
        "from typer.testing import CliRunner\nfrom entp_hf.cli.app import app\n"
        "assert 'no such file' in str(CliRunner().invoke(app, ['train', 'absent', '-o', 'out']).exception)",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(code: str) -> None:
    loaded = python(f"{code}\nimport sys\nprint(*sorted({HEAVY} & sys.modules.keys()))")
    assert loaded.split() == []


@pytest.mark.parametrize("order", ["import entp_hf, datasets", "import datasets, entp_hf"])
def test_the_builder_is_known_in_either_order_of_imports(order: str) -> None:
    code = f"{order}; print(datasets.packaged_modules._PACKAGED_DATASETS_MODULES['entp'][0])"
    assert python(code).strip() == "entp_hf.builders.entp"


def test_the_script_measures_all_three() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--runs", "1", "--json"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found.keys() == {"help_cpu_seconds", "error_cpu_seconds", "import_cpu_seconds"}
    assert all(value > 0 for value in found.values())
