"""The daemon of an institution stays small: what reads data and computes lives in other processes."""

import subprocess
import sys


def test_the_daemon_imports_no_engine_and_no_data_library():
    heavy = "{'numpy', 'numba', 'pyarrow', 'sklearn', 'scipy', 'pandas'}"
    code = f"import sys, hansa.node.daemon; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
