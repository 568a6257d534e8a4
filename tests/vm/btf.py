# SPDX-License-Identifier: MIT
"""btf.py VMLINUZ OUT: the BTF of a kernel for x86-64 (Documentation/arch/x86/boot.rst: the payload behind the setup
code, a compressed ELF file). Says what is missing, exit 1, where it cannot be unpacked here."""
import shutil
import struct
import subprocess
import sys

PACKERS = ((b"\xfd7zXZ\0", ["xz", "-dc"]), (b"\x1f\x8b", ["gzip", "-dc"]), (b"\x28\xb5\x2f\xfd", ["zstd", "-dc"]),
           (b"\x02\x21\x4c\x18", ["lz4", "-dc"]))


def unpack(payload):
    for magic, command in PACKERS:
        if not payload.startswith(magic):
            continue
        if not shutil.which(command[0]):
            sys.exit(f"{command[0]} is not installed")
        # behind the data stands its size: the unpackers complain about that, after all the work
        return subprocess.run(command, input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    sys.exit(f"packed in a way that is not known: {payload[:6].hex()}")


def section(elf, wanted):
    if elf[:5] != b"\x7fELF\x02":
        sys.exit("what it unpacks to is no ELF file")
    at, = struct.unpack_from("<Q", elf, 0x28)
    count, names = struct.unpack_from("<HH", elf, 0x3c)
    headers = [struct.unpack_from("<IIQQQQ", elf, at + 64 * i) for i in range(count)]
    for name, _, _, _, off, size in headers:
        start = headers[names][4] + name
        if elf[start:elf.index(b"\0", start)] == wanted:
            return elf[off:off + size]
    sys.exit(f"no section {wanted.decode()}")


with open(sys.argv[1], "rb") as f:
    image = f.read()
setup = (image[0x1f1] or 4) + 1
offset, length = struct.unpack_from("<II", image, 0x248)
start = setup * 512 + offset
with open(sys.argv[2], "wb") as f:
    f.write(section(unpack(image[start:start + length]), b".BTF"))
