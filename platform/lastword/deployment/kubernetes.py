"""Workloads of Kubernetes whose containers run one of our processes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastword.deployment.documents import Table, items, table, texts
from lastword.deployment.spans import whole_s
from lastword.deployment.units import Check, Read, Role, Unit, process_of

#: Kubernetes' own defaults: terminationGracePeriodSeconds, periodSeconds and failureThreshold.
DEFAULT_STOP_S, DEFAULT_PERIOD_S, DEFAULT_FAILURES = 30.0, 10, 3

#: Seconds for which C code may hold the interpreter's lock, and all threads with it.
PATIENCE_S = 60

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod"})


@dataclass(frozen=True, slots=True)
class _Container:
    place: str
    role: Role
    keys: Table
    pod: Table


def read_kubernetes(documents: Sequence[tuple[str, Table]], read: Read) -> None:
    """Read the manifests of a deployment, each with the name of its file."""
    maps = {
        str(table(item.get("metadata")).get("name")): table(item.get("data"))
        for _, item in documents
        if item.get("kind") == "ConfigMap"
    }
    budgets = [
        table(table(table(item.get("spec")).get("selector")).get("matchLabels"))
        for _, item in documents
        if item.get("kind") == "PodDisruptionBudget"
    ]
    for name, item in documents:
        if str(item.get("kind")) in _WORKLOADS:
            _workload(name, item, maps, budgets, read)


def _workload(
    name: str,
    item: Table,
    maps: Mapping[str, Table],
    budgets: Sequence[Table],
    read: Read,
) -> None:
    spec = table(item.get("spec"))
    template = spec if item.get("kind") == "Pod" else table(spec.get("template"))
    pod = spec if item.get("kind") == "Pod" else table(template.get("spec"))
    title = f"{name}, {item.get('kind')} {table(item.get('metadata')).get('name')}"
    for keys in map(table, items(pod.get("containers"))):
        process = process_of([*texts(keys.get("command")), *texts(keys.get("args"))])
        if process is None:
            continue
        role, arguments = process
        container = _Container(title, role, keys, pod)
        read.units.append(
            Unit(
                place=title,
                role=role,
                arguments=arguments,
                environment=_environment(keys, maps),
                granted_s=_granted(container, read),
                granted_by="terminationGracePeriodSeconds",
            )
        )
        _look(container, read)
        labels = table(table(template.get("metadata")).get("labels"))
        _look_at_replicas(container, spec, labels, budgets, read)


def _granted(container: _Container, read: Read) -> float:
    pod = container.pod
    granted_s = DEFAULT_STOP_S
    if "terminationGracePeriodSeconds" in pod:
        value = pod["terminationGracePeriodSeconds"]
        try:
            granted_s = whole_s(value)
        except ValueError as error:
            said = f"terminationGracePeriodSeconds is {value!r}; expected {error}"
            read.find(Check.READABLE, container.place, said, "write it as seconds")
    # What a hook sleeps before the signal is taken off the same account.
    hook = table(table(container.keys.get("lifecycle")).get("preStop"))
    slept = re.findall(r"sleep\s+(\d+)", " ".join(texts(table(hook.get("exec")).get("command"))))
    native: Any = table(hook.get("sleep")).get("seconds", 0)
    return granted_s - sum(map(int, slept)) - (native if isinstance(native, int) else 0)


def _look(container: _Container, read: Read) -> None:
    keys, pod, place = container.keys, container.pod, container.place
    if pod.get("restartPolicy", "Always") != "Always":
        read.find(
            Check.STARTED_AGAIN,
            place,
            f"restartPolicy is {pod['restartPolicy']}; a worker that has drained exits with 0 and "
            "has to be started again",
            "leave restartPolicy out, or set Always",
        )
    contexts = (table(keys.get("securityContext")), table(pod.get("securityContext")))
    if not any(context.get("runAsNonRoot") is True for context in contexts):
        read.find(
            Check.NOT_ROOT, place, "nothing keeps it from running as root", "set runAsNonRoot: true"
        )
    probe = table(keys.get("livenessProbe"))
    if not probe:
        read.find(
            Check.PROBED, place, "it has no livenessProbe", "add one, as docs/operations.md has it"
        )
        return
    period, failures = (
        probe.get("periodSeconds", DEFAULT_PERIOD_S),
        probe.get("failureThreshold", DEFAULT_FAILURES),
    )
    numbers = isinstance(period, int) and isinstance(failures, int)
    if container.role is Role.WORKER and (not numbers or period * failures < PATIENCE_S):
        read.find(
            Check.PATIENT_PROBE,
            place,
            f"its livenessProbe gives up after {failures} x {period} s: code that holds the "
            "interpreter's lock for a minute is no death",
            f"let periodSeconds x failureThreshold be {PATIENCE_S} at least",
        )


def _look_at_replicas(
    container: _Container, spec: Table, labels: Table, budgets: Sequence[Table], read: Read
) -> None:
    if container.role is Role.SCHEDULER and spec.get("replicas", 1) == 1:
        read.find(
            Check.TWO_SCHEDULERS,
            container.place,
            "there is one scheduler: while it is away nothing is healed",
            "set replicas: 2; one acts, the other takes over",
        )
    selected = any(budget and budget.items() <= labels.items() for budget in budgets)
    if not selected:
        read.find(
            Check.DISRUPTION_BUDGET,
            container.place,
            "no PodDisruptionBudget selects it: a drained node may take all of them at once",
            "add one whose matchLabels are among its labels",
        )


def _environment(keys: Table, maps: Mapping[str, Table]) -> dict[str, str]:
    given: dict[str, str] = {}
    for source in map(table, items(keys.get("envFrom"))):
        named = str(table(source.get("configMapRef")).get("name"))
        given |= {key: str(value) for key, value in maps.get(named, {}).items()}
    for pair in map(table, items(keys.get("env"))):
        if "value" in pair:
            given[str(pair.get("name"))] = str(pair["value"])
    return given
