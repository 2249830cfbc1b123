"""What a program of ours is made of, as CycloneDX JSON: sbom.py PROGRAM > FILE.

From `cargo tree`, since that says what is really built in: `cargo metadata`, which other tools read, also has what optional features
and tests would bring. Checksums are those of Cargo.lock. The C library and the certificate authorities are not in it: they are the
builder image's.
"""

import re
import subprocess
import sys
import tomllib

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot5
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

LINE = re.compile(r"(?P<depth>\d+)(?P<name>\S+) v(?P<version>\S+)[^|]*\|(?P<license>[^|]*)$")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def component(name, version, license_text, checksums, kind=ComponentType.LIBRARY):
    checksum = checksums.get((name, version))
    # The "/" of older manifests means OR.
    expression = license_text.replace("/", " OR ")
    return Component(
        type=kind,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("cargo", name=name, version=version) if checksum else None,
        licenses=[LicenseExpression(expression)] if expression else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


def main(program):
    target = run("rustc", "--print", "host-tuple").strip()
    tree = run("cargo", "tree", "--locked", "--package", program, "--edges", "normal", "--target", target,
               "--prefix", "depth", "--format", "{p}|{l}")
    with open("Cargo.lock", "rb") as file:
        lock = tomllib.load(file)["package"]
    checksums = {(p["name"], p["version"]): p["checksum"] for p in lock if "checksum" in p}
    bom, found, above = Bom(), {}, []
    for line in tree.splitlines():
        # A crate whose own are told elsewhere ends with (*).
        row = LINE.match(line.removesuffix(" (*)"))
        if row is None:
            sys.exit(f"sbom.py: not understood: {line}")
        key = row["name"], row["version"]
        depth = int(row["depth"])
        if key not in found:
            kind = ComponentType.LIBRARY if depth else ComponentType.APPLICATION
            found[key] = component(*key, row["license"], checksums, kind)
            if depth:
                bom.components.add(found[key])
            else:
                bom.metadata.component = found[key]
        above = [*above[:depth], key]
        if depth:
            bom.register_dependency(found[above[depth - 1]], [found[key]])
    compiler = run("rustc", "--version").split()[1]
    standard_library = component("std", compiler, "MIT OR Apache-2.0", {})
    bom.components.add(standard_library)
    bom.register_dependency(bom.metadata.component, [standard_library])
    text = JsonV1Dot5(bom).output_as_string(indent=1)
    mistakes = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if mistakes:
        sys.exit(f"sbom.py: not CycloneDX: {mistakes}")
    print(text)


main(sys.argv[1])
