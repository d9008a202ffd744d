"""What the Model Context Protocol costs those who do not use it."""

import subprocess
import sys

from tests.standalone_process import ROOT


def test_the_gateway_starts_without_the_sdk() -> None:
    """Its import takes a second or more, which the start does not have."""
    program = "import sys, services.gateway.main; print([name for name in sys.modules if name.startswith('mcp')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
