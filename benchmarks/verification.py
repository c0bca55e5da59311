"""What judging one piece of evidence costs: processor time of reading its collateral and verifying it.

    python benchmarks/verification.py QUOTE UNIX_TIME COLLATERAL... [--repeat N]

Nothing is left out but reading files. Prints a JSON line; the bound is 20 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from hansa.node.tee.evidence.collateral import collateral_untrusted
from hansa.protocols.wire.attestation.policy import REPORT, Expected
from hansa.protocols.wire.attestation.verify import verify_evidence


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quote", type=Path)
    parser.add_argument("at", type=int)
    parser.add_argument("collateral", type=Path, nargs="+")
    parser.add_argument("--repeat", type=int, default=50)
    args = parser.parse_args()
    quote, pieces = args.quote.read_bytes(), [path.read_bytes() for path in args.collateral]
    took = []
    for _ in range(args.repeat):
        began = time.process_time()
        verdict = verify_evidence(quote, collateral_untrusted(pieces), REPORT, Expected(), args.at)
        took.append(1000 * (time.process_time() - began))
    told = {"platform": verdict.platform, "verdict": verdict.as_dict()["verdict"]}
    print(json.dumps(told | {"processor_ms": round(statistics.median(took), 2), "most_ms": round(max(took), 2)}))


if __name__ == "__main__":
    main()
