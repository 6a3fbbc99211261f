"""Merging: jobs that need the same training become one job, and plans on the same data become one plan."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.sweep import EvalConfig
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.run.plan import Job, Plan
from qamoe_bench.run.request import Request
from qamoe_bench.store.cell import Cell, run_name


def make_plan(jobs: Iterable[Job], manifest: Mapping[str, Any]) -> Plan:
    """A plan of jobs on one data set, merged such that no training is made twice."""
    merged = merge_jobs_with_common_trainings(jobs)
    keys = [cell.key for job in merged for cell, _ in job.cells]
    # Derived from the cells, so that the same request continues the same run.
    run_id = run_name(manifest["data"]["name"], keys)
    return Plan(run_id, tuple(merged), {**manifest, "cells": keys})


def merge_jobs_with_common_trainings(jobs: Iterable[Job]) -> list[Job]:
    """Merge jobs that share a training, directly or through other jobs, and list each cell once.

    These are the connected components of the jobs, in the order of their first jobs. Two protocols evaluate the same
    weights in the regimes `clean` and `spectrum`; in `sweep` if both are trained on the same protocol, and in `matched`
    where they have a condition in common.
    """
    groups: list[list[Job]] = []  # a group that was absorbed stays as an empty list, so that indices remain valid
    group_of_training: dict[str, int] = {}
    for job in jobs:
        # Which groups have a training in common with this job?
        related = {group_of_training[key] for key in job.training_ids if key in group_of_training}
        if related:
            target = min(related)
        else:
            target = len(groups)
            groups.append([])
        # This job connects the other related groups with the first one, which absorbs them.
        joining = []
        for index in sorted(related - {target}):
            joining += groups[index]
            groups[index] = []
        joining.append(job)
        groups[target] += joining
        for member in joining:
            group_of_training |= dict.fromkeys(member.training_ids, target)
    return [_merge_group(group) for group in groups if group]


def _merge_group(group: Sequence[Job]) -> Job:
    """One job with the cells of all; apart from cells, jobs that share a training differ in their evaluations only."""
    cells: dict[str, tuple[Cell, Protocol]] = {}
    evaluations: dict[str, EvalConfig] = {}
    for job in group:
        cells |= {cell.key: (cell, protocol) for cell, protocol in job.cells}
        evaluations |= job.evaluations
    return replace(group[0], cells=tuple(cells.values()), evaluations=evaluations)


def merge_plans(plans: Sequence[Plan], requests: Sequence[Request]) -> Plan:
    """One plan for several requests on the same data.

    Args:
        plans: Plan of each request.
        requests: The requests, for the manifest.

    Raises:
        BenchError: if two requests have different protocols of the same name.
    """
    if len(plans) == 1:
        return plans[0]
    manifest = {
        **plans[0].manifest,  # data and engine are the same in all
        "request": [asdict(request) for request in requests],
        "protocols": _merge_protocols(plans),
        "models": _merge_models(plans),
    }
    jobs = [job for plan in plans for job in plan.jobs]
    # Seed by seed: a worker keeps the draws of one seed, and they are the same for all models.
    seeds = dict.fromkeys(job.seed for job in jobs)
    position = {seed: index for index, seed in enumerate(seeds)}
    jobs.sort(key=lambda job: position[job.seed])
    refused = {name: reason for plan in plans for name, reason in plan.refused.items()}
    notes = dict.fromkeys(note for plan in plans for note in plan.notes)
    return replace(make_plan(jobs, manifest), refused=refused, notes=tuple(notes))


def _merge_models(plans: Sequence[Plan]) -> dict[str, Any]:
    models: dict[str, Any] = {}
    for plan in plans:
        models |= plan.manifest["models"]  # a name means the same code in every plan
    return models


def _merge_protocols(plans: Sequence[Plan]) -> dict[str, Any]:
    protocols: dict[str, Any] = {}
    for plan in plans:
        for name, description in plan.manifest["protocols"].items():
            # A user's file may have the name of another one; results of both would share rows of the tables.
            if protocols.setdefault(name, description) != description:
                raise BenchError(f"two protocols are called {name!r}: expected one each; rename your file")
    return protocols
