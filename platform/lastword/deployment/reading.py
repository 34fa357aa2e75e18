"""Reading a folder of deployment files, whatever platforms they are for."""

from __future__ import annotations

from pathlib import Path

from lastword.config import Config
from lastword.deployment.compose import is_compose, read_compose
from lastword.deployment.dockerfile import read_dockerfiles
from lastword.deployment.documents import Table, yaml_documents
from lastword.deployment.kubernetes import read_kubernetes
from lastword.deployment.rules import hold_to_the_chain, nothing_found
from lastword.deployment.supervisord import read_supervisord
from lastword.deployment.systemd import read_systemd
from lastword.deployment.units import Read


def read_deployment(directory: Path, config: Config) -> Read:
    """Everything below a folder that keeps one of our processes, and all that is wrong with it.

    Raises:
        LastwordError: there is YAML, and nothing that can read it.
    """
    read = Read()
    has_init = read_dockerfiles(directory, read)
    read_systemd(directory, config, read)
    read_supervisord(directory, read)
    manifests: list[tuple[str, Table]] = []
    for file, document in yaml_documents(directory, read):
        name = str(file.relative_to(directory))
        if is_compose(document):
            read_compose(name, file.parent, document, read, has_init=has_init)
        elif "kind" in document:
            manifests.append((name, document))
    read_kubernetes(manifests, read)
    hold_to_the_chain(config, read)
    if not read.units:
        read.findings.append(nothing_found(str(directory)))
    return read
