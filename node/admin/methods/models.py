"""The admin methods model.*: the models that this node has a part of.

A model is a training job that is done: its id is the job's, its sealed part lies in HOME/blobs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hansa.config.vocabulary import BACKENDS
from hansa.node.admin.server import Handler, text_param
from hansa.node.admin.views import Json
from hansa.node.contracts.proposals import Proposals
from hansa.node.errors import UsageError
from hansa.node.jobs.job import Job
from hansa.node.jobs.record import JobRecord, JobState
from hansa.node.jobs.registry import JobRegistry


class ModelMethods:
    """Answers about this node's models."""

    def __init__(self, jobs: JobRegistry, proposals: Proposals) -> None:
        self._jobs, self._proposals = jobs, proposals

    def methods(self) -> dict[str, Handler]:
        """Name to handler."""
        return {
            "model.list": self.list,
            "model.show": self.show,
            "model.predict": self.predict,
            "model.release": self.release,
            "model.scores": self.scores,
        }

    async def list(self) -> list[Json]:
        """Every model, the newest first."""
        return [_summary(job.record) for job in reversed(self._jobs.all()) if _is_model(job)]

    async def show(self, model: str) -> Json:
        """One model as this node sees it."""
        job = self._model(model)
        record, contract = job.record, job.record.contract
        mine = contract.party(job.context.me)
        weights = (record.result or {}).get("weights", {})
        label = contract.parties[contract.label_rank or 0]
        released = [
            other.record.result["released"]
            for other in self._jobs.all()
            if other.record.contract.kind == "release"
            and other.record.contract.model == record.job_id
            and other.record.state is JobState.DONE
            and other.record.result
        ]
        return {
            **_summary(record),
            "purpose": contract.purpose,
            "contract": contract.describe(),
            "columns": [
                {"name": column, "coefficient": weights.get(column)} for column in (mine.columns if mine else ())
            ],
            "intercept": weights.get("intercept"),
            "intercept_holder": label.name if contract.algorithm == "lr" else None,
            "importance": (record.result or {}).get("importance", {}),
            "coefficients_are": "of standardised columns",
            "label": {"party": label.name, "column": label.label},
            "scores_to": _scores_to(record),
            "weights_to": contract.outputs.weights,
            "scores": (record.result or {}).get("scores") or None,
            "costs": {key: (record.result or {}).get(key) for key in ("rounds", "bytes_sent", "seconds", "steps")},
            "released": released[-1] if released else None,
        }

    async def predict(self, model: str, data: str, **more: Any) -> Json:
        """Propose to score a dataset: ``data`` at every party, or what ``with`` names for it."""
        found = self._model(model)
        others = more.pop("with", None) or {}
        contract = found.record.contract
        names = [party.name for party in contract.parties]
        unknown = [name for name in [*more, *others] if name not in names]
        if not isinstance(others, dict) or unknown:
            raise UsageError(
                f"'{unknown[0] if unknown else others}' is not a party of this model (parties: {', '.join(names)})",
                remedy="hansa model predict MODEL --data NAME --with PARTY=NAME",
            )
        datasets = {name: str(others.get(name, data)) for name in names}
        job = await self._jobs.submit(await self._proposals.on_model(contract, "predict", datasets))
        return {"job": job.record.short}

    async def release(self, model: str) -> Json:
        """Propose to open the model to all its parties."""
        found = self._model(model)
        job = await self._jobs.submit(await self._proposals.on_model(found.record.contract, "release", {}))
        return {"job": job.record.short}

    async def scores(self, job: str) -> Json:
        """Where the scores that a job opened to this node lie."""
        record = self._jobs.find(text_param("job", job)).record
        path = (record.result or {}).get("scores") if record.state is JobState.DONE else None
        if not path:
            raise UsageError(
                f"the job {record.short} opened no scores to this node",
                remedy="the contract names who receives them: `hansa job show`",
                job=record.short,
            )
        if not Path(path).exists():  # one stat of a local file
            raise UsageError(f"the scores {path} are gone", remedy="predict again: `hansa model predict`", file=path)
        return {"job": record.short, "path": path, "rows": (record.result or {}).get("scores_rows")}

    def _model(self, text: str) -> Job:
        job = self._jobs.find(text_param("model", text))
        if not _is_model(job):
            record = job.record
            done = {"dealer": ", in which this node dealt", "enclave": ", in which this node was the enclave"}
            dealt = done.get(record.role(job.context.me), "")
            raise UsageError(
                f"the job {record.short} has made no model here: it is a {record.contract.kind} job, "
                f"{record.state.value}{dealt}",
                remedy="see `hansa model list`",
                model=text,
            )
        return job


def _is_model(job: Job) -> bool:
    record = job.record
    is_mine = record.role(job.context.me) == "party"  # a dealer has no part of any model
    return record.contract.kind == "train" and record.state is JobState.DONE and is_mine


def _scores_to(record: JobRecord) -> list[str]:
    contract = record.contract
    if contract.outputs.scores == "none":
        return []
    owner = contract.label_rank or 0
    return [p.name for rank, p in enumerate(contract.parties) if contract.outputs.scores == "all" or rank == owner]


def _summary(record: JobRecord) -> Json:
    result = record.result or {}
    return {
        "model": record.short,
        "name": record.contract.name,
        "algorithm": record.contract.algorithm,
        "engine": record.contract.engine,
        "enclave": enclave.name if (enclave := record.contract.enclave) is not None else None,
        "insecure_simulated": any(code.platform == BACKENDS[-1] for code in record.contract.codes),
        "created": record.finished,
        "parties": [party.name for party in record.contract.parties],
        "rows": result.get("rows", 0),
        "test_rows": result.get("test_rows", 0),
        "metrics": result.get("metrics"),
    }
