"""The demo's tables: scikit-learn's breast-cancer table cut up for three institutions, or a folder of CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hansa.algorithms.errors import DataError
from hansa.node.errors import MissingExtra

LABELS = ("label", "target", "default", "y")
PARTIES = range(2, 6)
KEPT = 0.92
"""Each institution knows this part of the patients."""
_SHUFFLE = 2026


@dataclass(frozen=True, slots=True)
class DemoTable:
    """One institution's file."""

    party: str
    path: Path
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemoTables:
    """The files of all, their common key, and who has which label; the label's owner stands first."""

    tables: tuple[DemoTable, ...]
    key: str
    label: str

    @property
    def owner(self) -> str:
        """The label's owner."""
        return self.tables[0].party


def breast_cancer(folder: Path) -> DemoTables:
    """Write three CSV files: clinic (with the diagnosis), laboratory, imaging; each with its own random patients.

    569 patients, 30 features (Wolberg et al., UCI; shipped with scikit-learn).
    """
    try:
        from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  # an extra: only the demo needs it
    except ImportError as error:
        raise MissingExtra(
            "the demo's table comes with the extra 'demo' (scikit-learn)",
            remedy="pip install 'hansa[demo]', or give your own tables: hansa demo --data FOLDER",
            extra="demo",
            package="scikit-learn",
        ) from error
    import numpy as np  # noqa: PLC0415  # with scikit-learn

    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    shares = {"clinic": slice(10, 20), "laboratory": slice(0, 10), "imaging": slice(20, 30)}
    shuffle = np.random.default_rng(_SHUFFLE)  # public: which patients an institution of the demo knows
    malignant = 1 - data.target
    for party, part in shares.items():
        rows = shuffle.permutation(len(data.target))[: round(KEPT * len(data.target))]
        with open(folder / f"{party}.csv", "w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["patient_id", *names[part], *(["malignant"] if party == "clinic" else [])])
            for row in rows.tolist():
                label = [int(malignant[row])] if party == "clinic" else []
                out.writerow([f"P{row:04d}", *data.data[row, part].tolist(), *label])
    return from_folder(folder, label="malignant")


def from_folder(folder: Path, label: str | None) -> DemoTables:
    """Understand a folder of CSV files, one a party: the key is the one column all share, the label the single column
    named label, target, default or y, or ``label``. ``DataError`` lists the candidates otherwise."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", remedy="hansa demo --data FOLDER", file=str(folder))
    paths = sorted(folder.glob("*.csv"))
    if len(paths) not in PARTIES:
        raise DataError(
            f"{folder} holds {len(paths)} CSV files; the demo takes two to five, one an institution",
            remedy="put two to five .csv files there, named after their institutions",
            file=str(folder),
        )
    tables = [DemoTable(path.stem, path, _header(path)) for path in paths]
    key = _key(folder, tables)
    owner, name = _label(tables, key, label)
    first = [table for table in tables if table.party == owner]
    return DemoTables((*first, *(table for table in tables if table.party != owner)), key, name)


def _header(path: Path) -> tuple[str, ...]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        return tuple(name.strip() for name in next(csv.reader(file), []))


def _key(folder: Path, tables: Sequence[DemoTable]) -> str:
    shared = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    if len(shared) != 1:
        what = f"share {len(shared)} columns ({', '.join(shared)})" if shared else "share no column"
        raise DataError(
            f"the files in {folder} {what}; they must share exactly one, the key",
            remedy="rename the columns so that only the key has the same name everywhere",
            file=str(folder),
        )
    return shared[0]


def _label(tables: Sequence[DemoTable], key: str, wanted: str | None) -> tuple[str, str]:
    names = (wanted,) if wanted is not None else LABELS
    found = [(table.party, name) for table in tables for name in table.columns if name in names and name != key]
    if len(found) == 1:
        return found[0]
    every = [f"{table.party}.{name}" for table in tables for name in table.columns if name != key]
    candidates = [f"{party}.{name}" for party, name in found] or every
    asked = f"'{wanted}'" if wanted is not None else "label, target, default or y"
    raise DataError(
        f"{'no column is' if not found else 'several columns are'} called {asked}; candidates: "
        f"{', '.join(candidates[:40])}",
        remedy="name the label: hansa demo --data FOLDER --label COLUMN",
        column=wanted,
    )
